#include "tests/unit/modbus_world.h"

#include <errno.h>

static const struct modbus_device_config one_device[] = {{.unit = 1, .timeout_ns = MS(200)}};

static struct modbus_master_config tcp_config(const struct modbus_item *items, uint32_t count)
{
	return (struct modbus_master_config){.framing = MODBUS_FRAMING_TCP,
					     .devices = one_device,
					     .device_count = 1,
					     .items = items,
					     .item_count = count,
					     .reset_after = 1000};
}

static void init_one_block(void)
{
	static struct modbus_item items[1];

	items[0] = item_of(0, 100, 2, MS(100));
	world_init(tcp_config(items, 1));
}

TEST(an_answer_gives_the_values_of_its_block)
{
	init_one_block();
	world_open();
	EXPECT_EQ(world.sent_count, 1);
	EXPECT_EQ(last_sent()->unit, 1);
	EXPECT_EQ(last_sent()->function, MODBUS_READ_HOLDING);
	EXPECT_EQ(last_sent()->address, 100);
	EXPECT_EQ(last_sent()->count, 2);
	world_at(MS(5));
	world_answer(last_sent(), 0);
	EXPECT_EQ(world.said[world.said_count - 1].kind, MODBUS_ACTION_VALUES);
	EXPECT_EQ(world.said[world.said_count - 1].first, 100);
	EXPECT_EQ(modbus_master_deadline(&world.m).ns, NS_PER_S + MS(100)); /* the next slot */
}

TEST(a_frame_is_understood_byte_by_byte)
{
	uint8_t frame[MODBUS_TCP_FRAME_BYTES_MAX];
	size_t size_bytes;

	init_one_block();
	world_open();
	size_bytes = answer_to(last_sent(), 0, frame);
	for (size_t i = 0; i < size_bytes; i++) {
		EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 0);
		world_receive(frame + i, 1);
	}
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 1);
}

TEST(the_grid_does_not_drift_with_slow_answers)
{
	init_one_block();
	world_open();
	world.natures[1].thinks_ns = MS(37);
	world_run(MS(1050));
	EXPECT_EQ(world.sent_count, 11);
	for (uint32_t i = 0; i < 11; i++)
		EXPECT_EQ(world.sent[i].at.ns, NS_PER_S + MS(100) * i);
	EXPECT_EQ(world.m.stats.missed, 0);
}

TEST(the_phase_shifts_the_grid)
{
	struct modbus_device_config late[] = {{.unit = 1, .timeout_ns = MS(50), .phase_ns = MS(130)}};
	struct modbus_item items[] = {item_of(0, 0, 1, MS(100))};
	struct modbus_master_config config = tcp_config(items, 1);

	config.devices = late;
	world_init(config);
	world_open();
	EXPECT_EQ(world.sent_count, 0);
	EXPECT_EQ(modbus_master_deadline(&world.m).ns, NS_PER_S + MS(30));
	world_at(MS(30));
	EXPECT_EQ(world.sent_count, 1);
}

TEST(a_late_answer_is_discarded)
{
	struct sent first;

	init_one_block();
	world_open();
	first = *last_sent();
	world_at(MS(200));
	EXPECT_EQ(said_count_of(MODBUS_ACTION_FAILED, MODBUS_FAIL_TIMEOUT), 1);
	EXPECT_EQ(world.sent_count, 2);
	world_answer(&first, 0);
	EXPECT_EQ(world.m.stats.late, 1);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 0);
	world_answer(last_sent(), 0);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 1);
}

/* 200 ms without an answer cost the slot at 100 ms; the one at 200 ms is sent at once, and no more than it. */
TEST(a_missed_poll_is_counted_and_not_queued)
{
	init_one_block();
	world_open();
	world_at(MS(250));
	EXPECT_EQ(world.sent_count, 2);
	EXPECT_EQ(world.m.stats.missed, 1);
	world_answer(last_sent(), 0);
	EXPECT_EQ(world.sent_count, 2);
	EXPECT_EQ(modbus_master_deadline(&world.m).ns, NS_PER_S + MS(300));
	world_at(MS(1290));
	EXPECT_EQ(world.sent_count, 3);
	EXPECT_EQ(world.m.stats.missed, 10); /* 300 to 1100 */
	EXPECT_EQ(world.m.queue.polls[0].missed + world.m.queue.polls[0].requested, 13);
}

TEST(losing_the_line_fails_every_block_once_and_counts_the_missed)
{
	struct modbus_item items[] = {item_of(0, 0, 1, MS(100)), item_of(0, 50, 1, MS(100))};
	uint32_t said_before;

	world_init(tcp_config(items, 2));
	world_tick();
	EXPECT_EQ(said_count_of(MODBUS_ACTION_FAILED, MODBUS_FAIL_NOT_CONNECTED), 2); /* from the start */
	world_open();
	world_answer(last_sent(), 0);
	world_answer(last_sent(), 0);
	said_before = world.said_count;
	world_at(MS(20));
	modbus_master_closed(&world.m, world.now);
	modbus_master_closed(&world.m, world.now);
	EXPECT_EQ(modbus_master_deadline(&world.m).ns, 0); /* something to tell, now */
	world_tick();
	EXPECT_EQ(world.said_count, said_before + 2);
	world_at(MS(550));
	EXPECT_EQ(world.said_count, said_before + 2);
	EXPECT_EQ(world.m.stats.missed, 10);
	EXPECT_EQ(world.sent_count, 2);
	world_open(); /* the slots of 500 ms are asked for after all */
	EXPECT_EQ(world.sent_count, 3);
	world_answer(last_sent(), 0);
	EXPECT_EQ(world.sent_count, 4);
	EXPECT_EQ(world.m.stats.missed, 8);
}

TEST(slow_tags_are_asked_for_at_once_when_the_line_is_back)
{
	struct modbus_item items[] = {item_of(0, 0, 1, MS(3600000))};

	world_init(tcp_config(items, 1));
	world_open();
	world_answer(last_sent(), 0);
	world_at(MS(1000));
	modbus_master_closed(&world.m, world.now);
	world_at(MS(2000));
	world_open();
	EXPECT_EQ(world.sent_count, 2);
	world_answer(last_sent(), 0);
	EXPECT_EQ(modbus_master_deadline(&world.m).ns, NS_PER_S + MS(3600000)); /* and the grid stays */
	EXPECT_EQ(world.m.queue.polls[0].requested, 1);
}

TEST(bytes_after_the_end_of_the_line_are_ignored)
{
	init_one_block();
	world_open();
	modbus_master_closed(&world.m, world.now);
	world_answer(last_sent(), 0);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 0);
}

TEST(a_broken_header_resets_the_line)
{
	init_one_block();
	world_open();
	world_receive("HTTP/1.1 400", 12);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_RESET, 0), 1);
	EXPECT(!world.m.open);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_FAILED, MODBUS_FAIL_NOT_CONNECTED), 2);
	EXPECT_EQ(world.m.stats.resets, 1);
	world_open();
	world_answer(last_sent(), 0);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 1);
}

TEST(a_mute_connection_is_reset)
{
	struct modbus_item items[] = {item_of(0, 0, 1, MS(100))};
	struct modbus_master_config config = tcp_config(items, 1);

	config.reset_after = 2;
	world_init(config);
	world_open();
	world.natures[1].dead = true;
	world_run(MS(300));
	EXPECT(world.m.open);
	world_run(MS(400));
	EXPECT(!world.m.open);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_RESET, 0), 1);
}

TEST(an_answer_that_does_not_fit_fails_its_block_and_keeps_the_line)
{
	uint8_t frame[MODBUS_TCP_FRAME_BYTES_MAX];
	size_t size_bytes;

	init_one_block();
	world_open();
	size_bytes = answer_to(last_sent(), 0, frame);
	frame[7] = MODBUS_READ_INPUT;
	world_receive(frame, size_bytes);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_FAILED, MODBUS_FAIL_PROTOCOL), 1);
	EXPECT(world.m.open);
	world_at(MS(100));
	size_bytes = answer_to(last_sent(), 0, frame);
	frame[6] = 99; /* unit */
	world_receive(frame, size_bytes);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_FAILED, MODBUS_FAIL_PROTOCOL), 2);
	EXPECT_EQ(world.m.outstanding, 0);
	EXPECT_EQ(world.m.stats.protocol_errors, 2);
}

TEST(several_requests_are_on_the_way_as_configured)
{
	struct modbus_item items[] = {item_of(0, 0, 1, MS(100)), item_of(0, 50, 1, MS(100)),
				      item_of(0, 90, 1, MS(100))};
	struct modbus_master_config config = tcp_config(items, 3);

	config.outstanding_max = 2;
	world_init(config);
	world_open();
	EXPECT_EQ(world.sent_count, 2);
	EXPECT_NE(world.sent[0].transaction_id, world.sent[1].transaction_id);
	world_answer(&world.sent[1], 0); /* out of order */
	EXPECT_EQ(world.said[world.said_count - 1].first, 50);
	EXPECT_EQ(world.sent_count, 3);
	world_answer(&world.sent[0], 0);
	world_answer(&world.sent[2], 0);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 3);
	EXPECT_EQ(world.m.stats.late, 0);
}

TEST(one_silence_counts_once_however_many_requests_fell_into_it)
{
	struct modbus_item items[] = {item_of(0, 0, 1, MS(500)), item_of(0, 50, 1, MS(500)),
				      item_of(0, 90, 1, MS(500))};
	struct modbus_master_config config = tcp_config(items, 3);

	config.outstanding_max = 3;
	world_init(config);
	world_open();
	world_at(MS(200));
	EXPECT_EQ(world.m.stats.timeouts, 3);
	EXPECT_EQ(world.m.devices[0].timeouts_in_row, 1);
	EXPECT_EQ(world.m.devices[0].state, MODBUS_DEVICE_OK);
}

/* ---- exceptions */

TEST(an_illegal_tag_in_a_merged_read_is_found_and_the_rest_goes_on)
{
	struct modbus_item items[8];
	uint32_t sent_before;

	for (uint16_t i = 0; i < 8; i++)
		items[i] = item_of(0, i, 1, MS(100));
	world_init(tcp_config(items, 8));
	world.natures[1] = (struct nature){.illegal_first = 5, .illegal_count = 1};
	world_open();
	world_run(MS(50));
	EXPECT_EQ(world.m.block_count, 4); /* 0-3, 4, 5, 6-7 */
	EXPECT_EQ(world.m.stats.illegal_blocks, 1);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_FAILED, MODBUS_FAIL_EXCEPTION), 1);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 3);
	EXPECT_EQ(world.m.stats.missed, 0);
	sent_before = world.sent_count;
	world_run(MS(150)); /* remembered: three reads, none of the illegal one */
	EXPECT_EQ(world.sent_count, sent_before + 3);
	for (uint32_t i = 0; i < world.m.block_count; i++)
		if (!world.m.queue.polls[i].illegal)
			EXPECT_EQ(world.m.queue.polls[i].requested, 2);
}

TEST(a_hole_in_a_gap_costs_one_split)
{
	struct modbus_item items[] = {item_of(0, 0, 2, MS(100)), item_of(0, 2, 2, MS(100)),
				      item_of(0, 10, 2, MS(100))};
	struct modbus_master_config config = tcp_config(items, 3);

	config.limits.gap_registers = 10;
	world_init(config);
	world.natures[1] = (struct nature){.illegal_first = 5, .illegal_count = 2};
	world_open();
	world_run(MS(50));
	EXPECT_EQ(world.m.stats.splits, 1);
	EXPECT_EQ(world.sent_count, 3);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 2);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_FAILED, MODBUS_FAIL_EXCEPTION), 0);
}

TEST(a_device_that_refuses_everything_is_asked_a_bounded_number_of_times)
{
	struct modbus_item items[64];

	for (uint16_t i = 0; i < 64; i++)
		items[i] = item_of(0, i, 1, MS(1000));
	world_init(tcp_config(items, 64));
	world.natures[1].exception = MODBUS_ILLEGAL_ADDRESS;
	world_open();
	world_run(MS(59000));
	EXPECT_EQ(world.sent_count, 2 * 64 - 1);
	EXPECT_EQ(world.m.stats.illegal_blocks, 64);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_FAILED, MODBUS_FAIL_EXCEPTION), 64);
}

TEST(an_illegal_block_is_tried_again_seldom_and_may_recover)
{
	init_one_block();
	world.natures[1].exception = MODBUS_ILLEGAL_ADDRESS;
	world_open();
	world_run(MS(59990));
	EXPECT_EQ(world.sent_count, 1);
	world.natures[1].exception = 0;
	world_run(MS(60150));
	EXPECT_EQ(world.sent_count, 3);
	EXPECT_EQ(world.m.stats.illegal_blocks, 0);
	EXPECT_EQ(said_count_of(MODBUS_ACTION_VALUES, 0), 2);
}

TEST(an_illegal_function_is_not_split)
{
	struct modbus_item items[] = {item_of(0, 0, 1, MS(100)), item_of(0, 1, 1, MS(100))};

	world_init(tcp_config(items, 2));
	world.natures[1].exception = MODBUS_ILLEGAL_FUNCTION;
	world_open();
	world_run(MS(1000));
	EXPECT_EQ(world.sent_count, 1);
	EXPECT_EQ(world.m.block_count, 1);
	EXPECT_EQ(world.m.stats.illegal_blocks, 1);
}

TEST(a_busy_device_is_asked_again_in_the_next_slot)
{
	init_one_block();
	world.natures[1].exception = MODBUS_BUSY;
	world_open();
	world_run(MS(250));
	EXPECT_EQ(world.sent_count, 3);
	EXPECT_EQ(world.said[world.said_count - 1].exception, MODBUS_BUSY);
	EXPECT_EQ(world.m.devices[0].timeouts_in_row, 0);
}

/* ---- limits of init */

TEST(a_configuration_out_of_range_is_refused)
{
	struct modbus_device_config twins[] = {{.unit = 1, .timeout_ns = 1}, {.unit = 1, .timeout_ns = 1}};
	struct modbus_item items[] = {item_of(0, 0, 1, MS(100))};
	struct modbus_master_config config = tcp_config(items, 1);
	struct modbus_master m;

	EXPECT_EQ(modbus_master_init(&m, &config, world_memory, modbus_master_memory_bytes(1, 1),
				     (struct mono){1}),
		  0);
	EXPECT_EQ(modbus_master_init(&m, &config, world_memory, modbus_master_memory_bytes(1, 1) - 1,
				     (struct mono){1}),
		  -ENOSPC);
	config.outstanding_max = 17;
	EXPECT_EQ(modbus_master_init(&m, &config, world_memory, sizeof(world_memory), (struct mono){1}),
		  -EINVAL);
	config = tcp_config(items, 1);
	config.devices = twins;
	config.device_count = 2;
	EXPECT_EQ(modbus_master_init(&m, &config, world_memory, sizeof(world_memory), (struct mono){1}),
		  -EINVAL);
	config = tcp_config(items, 1);
	items[0].device_idx = 1;
	EXPECT_EQ(modbus_master_init(&m, &config, world_memory, sizeof(world_memory), (struct mono){1}),
		  -EINVAL);
	config.framing = MODBUS_FRAMING_RTU; /* without its timing */
	items[0].device_idx = 0;
	EXPECT_EQ(modbus_master_init(&m, &config, world_memory, sizeof(world_memory), (struct mono){1}),
		  -EINVAL);
}

TEST(a_line_without_items_has_nothing_to_do)
{
	struct modbus_master_config config = tcp_config(NULL, 0);

	world_init(config);
	world_open();
	EXPECT_EQ(modbus_master_deadline(&world.m).ns, UINT64_MAX);
	world_receive("\0\1\0\0\0\3\1\203\2", 9);
	EXPECT_EQ(world.m.stats.late, 1);
}
