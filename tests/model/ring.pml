/* tests/model/ring.pml - the ring's algorithm written a second time, for spin; from its description (core/README.md, the
 * drawing in core/ring.h), not from core/ring.c: so a misunderstanding in one of them shows as a difference.
 *
 * K segments of R records, LANES samplers x MSG messages, at most H records held; EARLY 1: a lane may close its segment at
 * any message. STOPS 1: the publisher may stop its walk anywhere. Each load, store and CAS of a shared word is one step, and
 * so is writing a record. Left out: sizes, times, discards, expiry, files; the lanes' turns among each other (any lane may be
 * next).
 *
 * Asserted, in every state or at the step that could break it:
 *   a word only rises, and only in its own segment
 *   a sampler never opens a segment that the publisher holds
 *   what is taken was committed in this life of its segment, is taken once, and has its lane's order
 *   what is held does not change, and is not freed under it; a freed segment had nothing left
 *   made = taken + overwritten + dropped + resident, whenever the counters are at rest
 *   nothing is stranded: wherever samplers have stopped, a publisher that can do no more has found everything
 * No deadlock: spin's invalid end states. No livelock: with -DNP (and without the judge, who walks in circles) there is no
 * cycle at all, for nothing here may be done in vain.
 *
 * Complete, without bit-state hashing (make promela; states, resident MiB):
 *   K=2 LANES=2 MSG=2 R=1                 37,208,143  2068
 *   K=2 LANES=1 MSG=6 R=2 EARLY=1          9,352,284   539
 *   K=2 LANES=1 MSG=6 R=1 H=2              9,057,287   523
 *   K=2 LANES=3 MSG=1 R=1                  1,845,531   205
 *   K=4 LANES=1 MSG=6 R=1                  3,446,564   284
 *   cycles: K=2 LANES=1 MSG=4, LANES=2 MSG=1  350,335  150
 *
 * ERROR n: a deliberate error, to be found; tests/model/promela names them.
 */
#ifndef K
#define K 2
#endif
#ifndef LANES
#define LANES 2
#endif
#ifndef MSG
#define MSG 2
#endif
#ifndef R
#define R 1
#endif
#ifndef H
#define H 1
#endif
#ifndef EARLY
#define EARLY 0
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef ERROR
#define ERROR 0
#endif

#define OPEN     0
#define HELD     1
#define READY    2
#define CLAIMED  3
#define FREE     4
#define W(p, s)  ((p) * 8 + (s))
#define POS(w)   ((w) / 8)
#define ST(w)    ((w) % 8)
#define MESSAGES (LANES * MSG)
#define AT       (pos % K)

/* What has become of a message, as the judge knows it. */
#define UNBORN   0
#define RESIDENT 1
#define TAKEN    2
#define GONE     3

/* Shared. */
short word[K];
short committed[K]; /* position and count; of another position: nothing */
byte head = K;
byte record[K * R]; /* message + 1 */

/* The counters. overwriting: samplers between an opening and its counting. */
byte made, taken, overwritten, dropped, overwriting;

/* The judge's. */
byte fate[MESSAGES];
byte place[MESSAGES]; /* segment * R + record */

/* The publisher's; global only so that the judge may look. */
byte next = K;
bool mine[K];
bool closed[K]; /* the count that was loaded last is final */
byte seen[K], passed[K];
byte holds[K];
byte held_count;
bool held[MESSAGES];
bool busy; /* within a round */

#define RISE(which, higher) \
	assert((higher) > word[which]); \
	assert(POS(higher) % K == (which)); \
	word[which] = higher

/* ------------------------------------------------------------------------------------------------- samplers */

inline close_segment()
{
	d_step {
		if
		:: ERROR == 5 -> word[AT] = W(pos, READY); pos = 0
		:: ERROR != 5 && word[AT] == W(pos, OPEN) -> RISE(AT, W(pos, READY)); pos = 0
		:: else
		fi
	};
	if
	:: pos > 0 -> /* the publisher is in it, and keeps it */
		d_step { RISE(AT, W(pos, (ERROR == 4 -> READY : CLAIMED))); pos = 0 }
	:: else
	fi;
	fill = 0
}

/* What is lost, for the judge; and records that nobody may read any more are made equal, so that states are. */
inline lose_records()
{
	m = 0;
	do
	:: m < MESSAGES ->
		if
		:: fate[m] == RESIDENT && place[m] / R == AT -> fate[m] = GONE; place[m] = 0
		:: else
		fi;
		m++
	:: else -> break
	od;
	m = 0;
	do
	:: m < R -> record[AT * R + m] = 0; m++
	:: else -> break
	od;
	m = 0
}

/* Leaves with pos 0: all are held or open. */
inline open_segment()
{
	do
	:: d_step { skipped == 2 * K -> pos = 0 } -> break
	:: d_step { skipped < 2 * K -> pos = head };
		w = word[AT];
		if
		:: POS(w) > pos && ERROR != 14 -> skip /* that head is old */
		:: POS(w) == pos -> /* taken, and head is late: help */
			d_step {
				if
				:: head == pos && ERROR != 10 -> head++
				:: else
				fi
			}
		:: (POS(w) < pos || (POS(w) > pos && ERROR == 14)) && ST(w) != READY && ST(w) != FREE &&
		   !(ERROR == 12 && ST(w) == OPEN) ->
			d_step { /* not to be had: leave a hole */
				if
				:: head == pos -> head++; skipped++
				:: else
				fi
			}
		:: else ->
			d_step {
				if
				:: word[AT] == w ->
					assert(!mine[AT]);
					RISE(AT, W(pos, OPEN));
					lose_records();
					overwriting++;
					opened = true
				:: else
				fi
			};
			if
			:: opened -> break
			:: else
			fi
		fi;
		d_step { pos = 0; w = 0 }
	od;
	skipped = 0;
	if
	:: opened ->
		d_step { /* from READY: never touched, so all of it is lost */
			if
			:: ST(w) == READY && (POS(committed[AT]) == POS(w) || ERROR == 6) ->
				overwritten = overwritten + ST(committed[AT])
			:: else
			fi;
			/* From here on it reads as nothing in any case: */
			if
			:: POS(committed[AT]) < pos && ERROR != 6 -> committed[AT] = 0
			:: else
			fi;
			overwriting--;
			w = 0;
			opened = false
		};
		if
		:: ERROR == 6 -> committed[AT] = W(pos, 0) /* too late: the publisher may be in it */
		:: else
		fi;
		d_step {
			if
			:: (head == pos && ERROR != 16) || ERROR == 13 -> head = pos + 1
			:: else
			fi
		}
	:: else
	fi
}

proctype sampler(byte me)
{
	byte count, pos, fill, skipped, m; /* pos 0: no segment is open */
	bool opened;
	short w;

	do
	:: count == MSG -> break
	:: count < MSG ->
		if
		:: pos > 0 && (fill == R || (EARLY && fill > 0)) -> close_segment()
		:: pos == 0 || fill < R
		fi;
		if
		:: pos == 0 -> open_segment()
		:: else
		fi;
		if
		:: pos > 0 ->
			d_step {
				assert(POS(word[AT]) == pos && ST(word[AT]) <= HELD);
				record[AT * R + fill] = me * MSG + count + 1
			};
			d_step {
				assert(POS(word[AT]) == pos && ST(word[AT]) <= HELD);
				fill++;
				committed[AT] = W(pos, fill);
				made++;
				fate[me * MSG + count] = RESIDENT;
				place[me * MSG + count] = AT * R + fill - 1;
				count++
			}
		:: else -> d_step { made++; dropped++; fate[me * MSG + count] = GONE; count++ }
		fi
	od
}

/* ------------------------------------------------------------------------------------------------ publisher */

/* At the last position of this segment that the walk has passed: at its own, a late sampler could open behind it. */
inline free_if_through(gone)
{
	if
	:: mine[gone] && closed[gone] && passed[gone] == seen[gone] && holds[gone] == 0 ->
		m = 0;
		do
		:: m < MESSAGES -> assert(!(fate[m] == RESIDENT && place[m] / R == gone)); m++
		:: else -> break
		od;
		assert(ST(word[gone]) == CLAIMED);
		pos = next - 1;
		do
		:: pos % K != gone -> pos--
		:: else -> break
		od;
		pos = (ERROR == 1 -> POS(word[gone]) : pos);
		RISE(gone, W(pos, FREE));
		mine[gone] = false; closed[gone] = false; seen[gone] = 0; passed[gone] = 0;
		/* Nobody may read these any more; made equal, so that states are. */
		committed[gone] = (ERROR == 6 -> committed[gone] : 0);
		m = 0;
		do
		:: m < R -> record[gone * R + m] = 0; m++
		:: else -> break
		od;
		m = 0; pos = 0
	:: else
	fi
}

inline walk()
{
	d_step {
		to = head;
		if
		:: to - next > K -> next = to - K + (ERROR == 15) /* lapped: what was between is overwritten */
		:: else
		fi
	};
	do
	:: next >= to -> break
	:: next < to && STOPS -> break /* it has seen enough */
	:: next < to ->
		w = word[next % K];
		d_step {
			if
			:: POS(w) > next -> next++ /* overwritten; it has a later turn */
			:: POS(w) <= next && (ST(w) == HELD || ST(w) == CLAIMED) -> next++ /* ours already */
			:: POS(w) <= next && ST(w) == FREE -> /* a hole: no late sampler may open behind the walk */
				if
				:: POS(w) == next || ERROR == 2 -> next++
				:: POS(w) < next && ERROR != 2 && (word[next % K] == w || ERROR == 3) ->
					RISE(next % K, W(next, FREE));
					next++
				:: else
				fi
			:: POS(w) <= next && (ST(w) == OPEN || ST(w) == READY) ->
				if
				:: POS(w) < next && ERROR == 11 -> next++
				:: (POS(w) == next || ERROR != 11) && (word[next % K] == w || ERROR == 7) ->
					RISE(next % K, W(POS(w), (ST(w) == OPEN -> HELD : CLAIMED)));
					mine[next % K] = true;
					next++
				:: else
				fi
			fi;
			w = 0
		}
	od;
	to = 0
}

/* All of them, or a lane's order breaks; the word before the count: loaded after a CLAIMED, the count is final. */
inline refresh()
{
	do
	:: i == K -> break
	:: i < K && ERROR == 8 -> break /* the others in the next round */
	:: i < K && (!mine[i] || closed[i]) -> i++
	:: i < K && mine[i] && !closed[i] ->
		if
		:: ERROR != 9 -> w = word[i]; c = committed[i]
		:: ERROR == 9 -> c = committed[i]; w = word[i]
		fi;
		d_step {
			if
			:: POS(c) == POS(w) || ERROR == 6 -> seen[i] = ST(c)
			:: else
			fi;
			closed[i] = (ST(w) == CLAIMED);
			w = 0; c = 0;
			free_if_through(i);
			i++
		}
	od
}

/* Would a round find anything? It does not look in vain, so that a cycle is one without progress. */
#define NEWS(i) (mine[i] && !closed[i] && \
		 (ST(word[i]) == CLAIMED || (POS(committed[i]) == POS(word[i]) && ST(committed[i]) != seen[i])))

/* Segment i has something to take, and no older segment of its lane has. */
#define LANE(i)    ((record[(i) * R + passed[i]] - 1) / MSG)
#define HAS(i)     (mine[i] && passed[i] < seen[i])
#define OLDER(j, i) (HAS(j) && LANE(j) == LANE(i) && POS(word[j]) < POS(word[i]))
#if K == 2
#define ANY(what) (what(0) || what(1))
#define FIRST(i)   (HAS(i) && !OLDER(1 - (i), i))
#else
#define ANY(what) (what(0) || what(1) || what(2) || what(3))
#define FIRST(i)   (HAS(i) && !OLDER(((i) + 1) % K, i) && !OLDER(((i) + 2) % K, i) && !OLDER(((i) + 3) % K, i))
#endif

inline take(from)
{
	m = record[from * R + passed[from]];
	assert(m > 0);
	m--;
	assert(fate[m] == RESIDENT && place[m] == from * R + passed[from]);
	c = m;
	do
	:: c % MSG > 0 -> c--; assert(fate[c] != RESIDENT) /* of its lane, older */
	:: else -> break
	od;
	fate[m] = TAKEN;
	taken++;
	held[m] = true;
	holds[from]++;
	held_count++;
	passed[from]++;
	m = 0; c = 0
}

inline release(r)
{
	assert(record[place[r]] == r + 1);
	held[r] = false;
	held_count--;
	i = place[r] / R;
	place[r] = 0;
	holds[i]--;
	free_if_through(i);
	i = 0
}

proctype publisher()
{
	byte i, to, m, pos;
	short w, c;

end:	do
	:: d_step { next < head || ANY(NEWS) -> busy = true }
		walk();
		refresh();
		i = 0;
		busy = false
	:: d_step { FIRST(0) && held_count < H -> take(0) }
	:: d_step { FIRST(1) && held_count < H -> take(1) }
#if K > 2
	:: d_step { FIRST(2) && held_count < H -> take(2) }
	:: d_step { FIRST(3) && held_count < H -> take(3) }
#endif
	:: d_step { held[0] -> release(0) }
#if MESSAGES > 1
	:: d_step { held[1] -> release(1) }
#endif
#if MESSAGES > 2
	:: d_step { held[2] -> release(2) }
#endif
#if MESSAGES > 3
	:: d_step { held[3] -> release(3) }
#endif
#if MESSAGES > 4
	:: d_step { held[4] -> release(4) }
#endif
#if MESSAGES > 5
	:: d_step { held[5] -> release(5) }
#endif
	od
}

/* Looks at every state. */
proctype judge()
{
	byte m, resident;

end:	do
	:: d_step {
		overwriting == 0 ->
		m = 0;
		resident = 0;
		do
		:: m < MESSAGES -> resident = resident + (fate[m] == RESIDENT); m++
		:: else -> break
		od;
		assert(made == taken + overwritten + dropped + resident);
		/* The publisher alone can do nothing more: */
		if
		:: !busy && next == head && !ANY(NEWS) && !ANY(HAS) ->
			assert(resident == 0);
			m = 0;
			do
			:: m < K -> assert(ST(word[m]) != READY && (ST(word[m]) != CLAIMED || holds[m] > 0)); m++
			:: else -> break
			od
		:: else
		fi;
		m = 0;
		resident = 0
	   }
	od
}

init
{
	byte i;

	atomic {
		do
		:: i < K -> word[i] = W(i, FREE); i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < LANES -> run sampler(i); i++
		:: else -> break
		od;
		i = 0;
		run publisher();
#ifndef NP
		run judge()
#endif
	}
}
