/* Many units on one line: fairness, the circuit breaker, and the serial line's silences. */
#include "tests/unit/modbus_world.h"

#define UNITS 4

static struct modbus_device_config devices[32];
static struct modbus_item items[32];

static struct modbus_master_config line_config(enum modbus_framing framing, uint32_t unit_count,
					       uint64_t timeout_ns, uint64_t period_ns)
{
	for (uint32_t i = 0; i < unit_count; i++) {
		devices[i] = (struct modbus_device_config){.unit = (uint8_t)(i + 1),
							   .timeout_ns = timeout_ns};
		items[i] = item_of(i, 0, 1, period_ns);
	}
	return (struct modbus_master_config){.framing = framing,
					     .devices = devices,
					     .device_count = unit_count,
					     .items = items,
					     .item_count = unit_count,
					     .reset_after = 100000};
}

/* The longest time between two values of the unit's block. */
static uint64_t longest_gap_ns(uint32_t block_idx, uint64_t from_ns)
{
	uint64_t last_ns = NS_PER_S + from_ns, longest_ns = 0;

	for (uint32_t i = 0; i < world.said_count; i++) {
		const struct said *s = &world.said[i];

		if (s->kind != MODBUS_ACTION_VALUES || s->block_idx != block_idx || s->at.ns < last_ns)
			continue;
		longest_ns = max_u64(longest_ns, s->at.ns - last_ns);
		last_ns = s->at.ns;
	}
	return max_u64(longest_ns, world.now.ns - last_ns);
}

TEST(a_dead_unit_is_suspended_after_three_timeouts_and_its_tags_are_told)
{
	world_init(line_config(MODBUS_FRAMING_TCP, 1, MS(50), MS(100)));
	world.natures[1].dead = true;
	world_open();
	world_run(MS(240));
	EXPECT_EQ(world.m.devices[0].state, MODBUS_DEVICE_OK);
	world_run(MS(250));
	EXPECT_EQ(world.m.devices[0].state, MODBUS_DEVICE_SUSPENDED);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_FAILED, MODBUS_FAIL_TIMEOUT), 3);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_FAILED, MODBUS_FAIL_SUSPENDED), 1);
}

/* 250 ms: suspended. Probes 1 s later, then each time after twice as long, 30 s at most. */
TEST(probes_come_once_a_back_off_step_which_doubles_up_to_its_cap)
{
	static const uint64_t expected_ms[] = {1250, 3300, 7350, 15400, 31450, 61500, 91550, 121600};

	world_init(line_config(MODBUS_FRAMING_TCP, 1, MS(50), MS(100)));
	world.natures[1].dead = true;
	world_open();
	world_run(MS(125000));
	EXPECT_EQ(world.sent_count, 3 + ARRAY_COUNT(expected_ms));
	for (size_t i = 0; i < ARRAY_COUNT(expected_ms); i++)
		EXPECT_EQ(world.sent[3 + i].at.ns, NS_PER_S + MS(expected_ms[i]));
	EXPECT_EQ(world.m.queue.polls[0].missed + world.m.queue.polls[0].requested, 1251);
}

TEST(a_unit_that_answers_its_probe_is_back_at_once)
{
	struct modbus_item two[] = {item_of(0, 0, 1, MS(100)), item_of(0, 50, 1, MS(100000))};
	struct modbus_master_config config = line_config(MODBUS_FRAMING_TCP, 1, MS(50), MS(100));

	config.items = two;
	config.item_count = 2;
	world_init(config);
	world.natures[1].dead = true;
	world_open();
	world_run(MS(1000));
	EXPECT_EQ(world.m.devices[0].state, MODBUS_DEVICE_SUSPENDED);
	world.natures[1].dead = false;
	world_run(MS(1300));
	EXPECT_EQ(world.m.devices[0].state, MODBUS_DEVICE_OK);
	EXPECT_LE(2, said_count_of(MODBUS_ACTION_VALUES, 0));
	EXPECT_EQ(world.m.suspended_count, 0);
	world_run(MS(1400));
	EXPECT_LE(longest_gap_ns(0, MS(1200)), MS(101));
}

/* The bound in the header: before it is suspended a dead unit costs a time-out at a time, afterwards one probe in all. */
TEST(one_dead_unit_never_starves_another)
{
	struct modbus_master_config config = line_config(MODBUS_FRAMING_TCP, 2, MS(500), MS(100));

	world_init(config);
	world.natures[1].dead = true;
	world.natures[2].thinks_ns = MS(5);
	world_open();
	world_run(MS(60000));
	EXPECT_LE(longest_gap_ns(1, 0), MS(500 + 100 + 5));
	/* 600 slots; 3 time-outs and 6 probes cost at most 5 slots each, and no more is lost */
	EXPECT_LE(600 - 9 * 5, world.m.devices[1].responses);
}

TEST(many_dead_units_together_cost_one_timeout_at_a_time_and_a_tenth_of_the_line)
{
	uint64_t before;

	world_init(line_config(MODBUS_FRAMING_TCP, 21, MS(500), MS(100)));
	for (int unit = 1; unit <= 20; unit++)
		world.natures[unit].dead = true;
	world.natures[21].thinks_ns = MS(1);
	world_open();
	world_run(MS(40000)); /* 20 * 3 time-outs of 500 ms are over */
	EXPECT_EQ(world.m.suspended_count, 20);
	before = world.m.devices[20].responses;
	world_run(MS(140000));
	EXPECT_LE(longest_gap_ns(20, MS(40000)), MS(500 + 100 + 1));
	EXPECT_LE(1000 * 9 / 10 - 20, world.m.devices[20].responses - before);
	for (int i = 0; i < 20; i++)
		EXPECT_LE(1, world.m.devices[i].timeouts - 3); /* each was probed */
}

TEST(polls_of_a_unit_that_timed_out_queue_behind_what_was_due)
{
	struct modbus_item mixed[] = {item_of(0, 0, 1, MS(1000)), item_of(0, 50, 1, MS(1000)),
				      item_of(0, 90, 1, MS(1000)), item_of(1, 0, 1, MS(1000))};
	struct modbus_master_config config = line_config(MODBUS_FRAMING_TCP, 2, MS(100), MS(1000));

	config.items = mixed;
	config.item_count = 4;
	world_init(config);
	world.natures[1].dead = true;
	world_open();
	world_run(MS(99));
	EXPECT_EQ(world.sent_count, 1);
	world_run(MS(100));
	EXPECT_EQ(world.sent[1].unit, 2);
}

TEST(a_gateway_that_reports_a_dead_unit_suspends_it_too)
{
	world_init(line_config(MODBUS_FRAMING_TCP, 2, MS(500), MS(100)));
	world.natures[1].exception = MODBUS_GATEWAY_NO_ANSWER;
	world_open();
	world_run(MS(950));
	EXPECT_EQ(world.m.devices[0].state, MODBUS_DEVICE_SUSPENDED);
	EXPECT_EQ(world.m.devices[0].requests, 3);
	EXPECT_EQ(world.m.devices[1].requests, 10);
}

TEST(a_line_that_comes_back_asks_its_suspended_units_at_once)
{
	world_init(line_config(MODBUS_FRAMING_TCP, 1, MS(50), MS(100)));
	world.natures[1].dead = true;
	world_open();
	world_run(MS(20000));
	modbus_master_closed(&world.m, world.now);
	world_tick();
	world.natures[1].dead = false;
	world_open();
	world_run(MS(20001));
	EXPECT_EQ(world.m.devices[0].state, MODBUS_DEVICE_OK);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 1);
}

TEST(polls_of_all_units_on_a_full_line_get_their_turn)
{
	world_init(line_config(MODBUS_FRAMING_TCP, UNITS, MS(500), MS(20)));
	for (int unit = 1; unit <= UNITS; unit++)
		world.natures[unit].thinks_ns = MS(10); /* 40 ms of work every 20 ms */
	world_open();
	world_run(MS(4000));
	for (uint32_t i = 0; i < UNITS; i++) {
		EXPECT_LE(95, world.m.devices[i].responses);
		EXPECT_LE(world.m.devices[i].responses, 105);
		EXPECT_LE(199, world.m.queue.polls[i].missed + world.m.queue.polls[i].requested);
	}
}

/* ---- RTU */

static void init_rtu(uint32_t unit_count)
{
	world_init(line_config(MODBUS_FRAMING_RTU, unit_count, MS(100), MS(1000)));
	world_open();
}

TEST(t35_lies_between_an_answer_and_the_next_request)
{
	uint64_t t35_ns;

	init_rtu(2);
	t35_ns = world.m.config.timing.t35_ns;
	EXPECT_EQ(world.sent_count, 1);
	world_at(MS(20));
	world_answer(last_sent(), 0);
	EXPECT_EQ(world.sent_count, 1);
	EXPECT_EQ(modbus_master_deadline(&world.m).ns, NS_PER_S + MS(20) + t35_ns);
	world_at(MS(20) + t35_ns - 1);
	EXPECT_EQ(world.sent_count, 1);
	world_at(MS(20) + t35_ns);
	EXPECT_EQ(world.sent_count, 2);
}

TEST(the_timeout_starts_after_the_request_is_out_and_leaves_time_for_the_answer)
{
	uint64_t sent_ns, char_ns;

	init_rtu(1);
	sent_ns = last_sent()->at.ns - NS_PER_S;
	char_ns = world.m.config.timing.char_ns;
	world_at(sent_ns + MS(100) + (8 + 7) * char_ns - 1);
	EXPECT_EQ(world.m.stats.timeouts, 0);
	world_at(sent_ns + MS(100) + (8 + 7) * char_ns);
	EXPECT_EQ(world.m.stats.timeouts, 1);
}

TEST(garbage_fails_the_poll_and_the_line_goes_on_after_a_silence)
{
	uint64_t t35_ns;

	init_rtu(2);
	t35_ns = world.m.config.timing.t35_ns;
	world_at(MS(20));
	world_receive("\x55\xAA\x00", 3);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_FAILED, MODBUS_FAIL_PROTOCOL), 1);
	EXPECT_EQ(world.m.stats.resyncs, 1);
	world_at(MS(21));
	world_receive("more", 4);
	EXPECT_EQ(world.m.stats.resyncs, 1);
	world_at(MS(21) + t35_ns - 1);
	EXPECT_EQ(world.sent_count, 1);
	world_at(MS(21) + t35_ns);
	EXPECT_EQ(world.sent_count, 2);
	world_answer(last_sent(), 0);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 1);
}

TEST(a_wrong_crc_is_counted_and_its_value_not_taken)
{
	uint8_t frame[MODBUS_TCP_FRAME_BYTES_MAX];
	size_t size_bytes;

	init_rtu(1);
	size_bytes = answer_to(last_sent(), 0, frame);
	frame[4] ^= 1;
	world_receive(frame, size_bytes);
	EXPECT_EQ(world.m.stats.crc_errors, 1);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 0);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_FAILED, MODBUS_FAIL_PROTOCOL), 1);
}

TEST(the_late_answer_of_another_unit_is_discarded_and_the_right_one_taken)
{
	struct sent first;
	uint8_t frames[2 * MODBUS_TCP_FRAME_BYTES_MAX];
	size_t size_bytes;

	init_rtu(2);
	first = *last_sent();
	world_at(MS(150));
	EXPECT_EQ(world.sent_count, 2);
	size_bytes = answer_to(&first, 0, frames);
	size_bytes += answer_to(last_sent(), 0, frames + size_bytes);
	world_receive(frames, size_bytes); /* even in one read */
	EXPECT_EQ(world.m.stats.late, 1);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 1);
	EXPECT_EQ(world.said[world.said_count - 1].block_idx, 1);
}

TEST(an_answer_of_another_length_is_a_late_one)
{
	struct sent other;

	init_rtu(1);
	other = *last_sent();
	other.count = 2;
	world_answer(&other, 0);
	EXPECT_EQ(world.m.stats.late, 1);
	EXPECT_EQ(world.m.outstanding, 1);
	world_answer(last_sent(), 0);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 1);
}

TEST(noise_without_an_end_resets_the_line)
{
	init_rtu(1);
	for (uint64_t ms = 20; ms <= 1019; ms++) {
		world_at(MS(ms));
		world_receive("\xFF\xFF", 2);
	}
	EXPECT_EQ(said_count_of(MODBUS_ACTION_RESET, 0), 0);
	world_at(MS(1020));
	world_receive("\xFF", 1);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_RESET, 0), 1);
}

TEST(a_dead_unit_on_a_serial_line_does_not_starve_the_other)
{
	world_init(line_config(MODBUS_FRAMING_RTU, 2, MS(300), MS(100)));
	world.natures[1].dead = true;
	world.natures[2].thinks_ns = MS(20);
	world_open();
	world_run(MS(60000));
	EXPECT_EQ(world.m.devices[0].state, MODBUS_DEVICE_SUSPENDED);
	EXPECT_LE(longest_gap_ns(1, 0), MS(300 + 100 + 20 + 20)); /* 20: bytes and silences */
}
