#!/bin/bash
# `make profile`: stacks as perf writes them come out counted, the flame graph is XML whose widths add up to the samples, and
# a benchmark can be profiled where perf may record.
. "${0%/*}/lib.sh"
need perl xmllint
root=$(cd "${0%/*}/../.." && pwd)

# Two samples of one stack, one more of its caller, one of a thread whose name has a blank, one of another process, one that
# is all nowhere; a name with what XML and the folded form keep for themselves.
cat >"$work/stacks" <<'END'
main  10/10  cpu-clock:
	    1f00 inner (/opt/bench)
	    2f00 outer(a<b>&; c) (/opt/bench)
	    3f00 start_thread (/usr/lib/x86_64-linux-gnu/libc.so.6)

main  10/10  cpu-clock:
	    1f04 inner (/opt/bench)
	    2f00 outer(a<b>&; c) (/opt/bench)
	    3f00 start_thread (/usr/lib/x86_64-linux-gnu/libc.so.6)
	       0 [unknown] ([unknown])

main  10/10  cpu-clock:
	    2f08 outer(a<b>&; c) (/opt/bench)
	    3f00 start_thread (/usr/lib/x86_64-linux-gnu/libc.so.6)

git  11/11  cpu-clock:
	    1f00 elsewhere (/usr/bin/git)

iou wrk  10/12  cpu-clock:
	ffffffff81000c82 entry ([kernel.kallsyms])
	    4f00 [unknown] (/opt/libfoo.so)

iou wrk  10/12  cpu-clock:
	    4f00 [unknown] ([unknown])
END
"$root/perf/fold" "$work/stacks" >"$work/folded" || fail 'perf/fold'
expect 'folded stacks' "$(cat "$work/folded")" "iou wrk 1
iou wrk;libfoo.so_[l];entry_[k] 1
main;start_thread_[l];outer(a<b>&: c) 1
main;start_thread_[l];outer(a<b>&: c);inner 2"

expect 'another process' "$("$root/perf/fold" -t git "$work/stacks")" 'git;elsewhere 1'
: | "$root/perf/fold" 2>/dev/null && fail 'perf/fold finds samples where there are none'
: | "$root/perf/flame" "$work/none.svg" 2>/dev/null && fail 'perf/flame draws a picture of nothing'

"$root/perf/profile" "$build" 2>"$work/usage" && fail 'perf/profile of nothing'
matches "$work/usage" ' publish .*ring' || fail 'which benchmarks there are'
for name in '' nosuch 'ring sample' %; do
	make -C "$root" --no-print-directory profile NAME="$name" ARGS='--count 1' >"$work/out" 2>"$work/usage"
	expect "status of make profile NAME='$name'" $? 2
	matches "$work/usage" '^usage: .* publish .*ring' || fail "make profile NAME='$name': $(cat "$work/usage")"
done

# Boxes of a picture: depth, from, count, itself, x, width; checked against each other and against the folded stacks.
adds_up() { # SVG FOLDED
	xmllint --noout "$1" || fail "$1 is no XML"
	xmllint --xpath '//*[@class="f"]/@*[starts-with(name(), "data-") and name() != "data-name"] |
		//*[@class="f"]/*/@x | //*[@class="f"]/*/@width' "$1" | sed -E 's/^ *//' | perl -e '
		my ($folded) = @ARGV;
		my ($total, @boxes, %rows) = (0);
		open my $f, "<", $folded or die;
		/ (\d+)$/ and $total += $1 for <$f>;
		while (<STDIN>) {
			/^data-from="(\d+)"/ and push @boxes, {from => $1};
			/^(?:data-)?(\w+)="([\d.]+)"/ and $boxes[-1]{$1} //= $2;
		}
		my $root = $boxes[0];
		my $self = 0;
		for my $b (@boxes) {
			my $wanted = $b->{count} / $total * $root->{width};
			$self += $b->{self};
			abs($b->{width} - $wanted) < 0.01 or die "width $b->{width} for $b->{count} of $total\n";
			abs($b->{x} - $root->{x} - $b->{from} / $total * $root->{width}) < 0.01 or die "x $b->{x}\n";
			push @{$rows{$b->{depth}}}, $b;
		}
		$root->{count} == $total or die "$root->{count} samples drawn, $total folded\n";
		$self == $total or die "$self samples in the boxes themselves, $total folded\n";
		my $threads = 0;
		$threads += $_->{width} for @{$rows{1}};
		abs($threads - $root->{width}) < 0.01 * @{$rows{1}} or die "threads are $threads wide\n";
		for my $depth (keys %rows) { # no two boxes of a row share a sample; each lies on one of the row below
			my $end = 0;
			for my $b (sort { $a->{from} <=> $b->{from} } @{$rows{$depth}}) {
				$b->{from} >= $end or die "boxes overlap at depth $depth\n";
				$end = $b->{from} + $b->{count};
				next if $depth == 0;
				grep { $_->{from} <= $b->{from} && $end <= $_->{from} + $_->{count} } @{$rows{$depth - 1}}
					or die "a box at depth $depth lies on nothing\n";
			}
		}
		print scalar(@boxes), " boxes\n";
	' "$2" 2>&1
}
"$root/perf/flame" "$work/known.svg" 'a < b & "c"' "$work/folded" >"$work/table" || fail 'perf/flame'
expect 'boxes of the known stacks' "$(adds_up "$work/known.svg" "$work/folded")" '8 boxes'
expect 'the name in the picture' "$(xmllint --xpath 'string(//*[@data-depth="3"]/@data-name)' "$work/known.svg")" 'outer(a<b>&: c)'
expect 'the table' "$(sed -n '2,4p' "$work/table")" "main: 3 samples, 60.00 % of all
   66.67 %    66.67 %  inner
   33.33 %   100.00 %  outer(a<b>&: c)"

# The whole of it, where perf may record here.
need perf
perf record -q -e cpu-clock -o "$work/true.data" true >"$work/perf.log" 2>&1 || skip 'perf may not record here'
mkdir "$work/bin" && cp -r "$build/perf" "$work/bin/"
"$root/perf/profile" "$work/bin" sample --count 1000000 >"$work/profile.log" 2>&1 || fail 'perf/profile'
matches "$work/profile.log" '^bench_sample: [0-9]+ samples' || fail 'no table'
matches "$work/profile.log" '^ +[0-9.]+ % +[0-9.]+ %  tag_read$' || fail 'a sampler that reads no tag'
matches "$work/profile.log" '^flame graph: .*/profile/sample\.svg$' || fail 'no picture'
boxes=$(adds_up "$work/bin/profile/sample.svg" "$work/bin/profile/sample.folded")
[ "${boxes% boxes}" -ge 20 ] 2>/dev/null || fail "the picture: $boxes"
