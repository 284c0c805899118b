#include "hw/line.h"

int line_open(struct line *l, struct sampler *s, uint32_t cfg_idx)
{
	const struct cfg_line *c = &s->config.cfg->lines[cfg_idx];

	*l = (struct line){
		.sampler = s,
		.cfg_idx = cfg_idx,
		.name = cfg_text(s->config.cfg, c->name),
		.kind = c->kind,
		.trace.channel_idx = (uint16_t)(s->config.cfg->target_count + cfg_idx),
		.timer = {.owner_idx = (uint32_t)(l - s->lines)},
		.backoff = {.base_ns = c->reconnect_base_ns,
			    .cap_ns = c->reconnect_cap_ns,
			    .stable_ns = 10 * NS_PER_S},
	};
	switch (l->kind) {
	case CFG_LINE_MODBUS_TCP:
	case CFG_LINE_MODBUS_RTU: return line_modbus_open(l);
	case CFG_LINE_SYNTHETIC: line_synthetic_open(l); return 0;
	}
	UNREACHABLE();
}

void line_close(struct line *l)
{
	switch (l->kind) {
	case CFG_LINE_MODBUS_TCP:
	case CFG_LINE_MODBUS_RTU: line_modbus_close(l); return;
	case CFG_LINE_SYNTHETIC: return;
	}
	UNREACHABLE();
}

void line_step(struct line *l)
{
	switch (l->kind) {
	case CFG_LINE_MODBUS_TCP:
	case CFG_LINE_MODBUS_RTU: line_modbus_step(l); return;
	case CFG_LINE_SYNTHETIC: line_synthetic_step(l); return;
	}
	UNREACHABLE();
}

void line_tell(struct line *l, const char *reason)
{
	shared_text_set(&l->reason, reason);
	counter_set(&l->metrics.connected, l->state == LINE_UP);
}

const char *line_state_text(enum line_state state)
{
	switch (state) {
	case LINE_WAITING: return "waiting";
	case LINE_OPENING: return "opening";
	case LINE_UP: return "up";
	case LINE_CLOSING: return "closing";
	}
	UNREACHABLE();
}
