/* What did not get through, as the target's ledger has it. */
#include "core/loss.h"
#include "io/target_priv.h"

void target_lost(struct target *t, const struct ring_record *rec, enum loss_reason reason)
{
	if (rec == t->hello || rec == t->farewell)
		return;          /* no sample of anything */
	if (rec->flags & IS_OWN) /* of an earlier process: its numbers are not ours */
		loss_unnumbered(t->losses, reason, 1, (struct mono){.ns = rec->time_ns}, target_now(t));
	else
		loss_record(t->losses, rec, reason, false);
}
