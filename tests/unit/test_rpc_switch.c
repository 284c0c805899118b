/* Targets and packages on and off while the daemon runs, asked through the socket. */
#include "tests/unit/rpc_served.h"

static const char packages[] =
	"packages: [{name: core}, {name: hall, description: far away}, {name: dark, enabled: false}]\n"
	"targets:\n"
	"  - {name: plant, url: \"mqtt://127.0.0.1:1\", buffer: {messages: 100}}\n"
	"  - {name: h1, url: \"mqtt://127.0.0.1:2\", package: hall, buffer: {messages: 100}}\n"
	"  - {name: h2, url: \"mqtt://127.0.0.1:2\", package: hall, enabled: false, buffer: {messages: "
	"100}}\n"
	"  - {name: d1, url: \"mqtt://127.0.0.1:2\", package: dark, buffer: {messages: 100}}\n"
	"lines: [{name: syn, synthetic: {tags: 1, rate: 1}}]\n"
	"definitions: [{name: d, target: plant, tags: [\"syn.*\"], topic: \"{tag}\"}]\n";

static bool is_wanted(struct world *w, uint32_t target_idx)
{
	return target_wanted(node_target(&w->node, target_idx));
}

TEST(a_target_is_switched_off_and_on_and_status_follows)
{
	struct world w;

	world_open(&w, packages);
	set_state(&w, 1, TARGET_CONNECTED);
	EXPECT(is_wanted(&w, 0));
	json_t *result = ask(&w, "targets.disable", "{\"name\":\"plant\"}");
	EXPECT_TEXT(text_in(result, "name"), "plant");
	EXPECT(!flag_in(result, "enabled"));
	EXPECT(flag_in(result, "package_enabled"));
	json_decref(result);
	EXPECT(!is_wanted(&w, 0));
	EXPECT(is_wanted(&w, 1));
	result = ask(&w, "status", "{}");
	EXPECT(!flag_in(item(result, "targets", 0), "enabled"));
	EXPECT(flag_in(item(result, "targets", 1), "enabled"));
	EXPECT(flag_in(result, "ok")); /* of those that are enabled, h1 alone, all are connected */
	json_decref(result);
	result = ask(&w, "targets.enable", "{\"name\":\"plant\"}");
	EXPECT(flag_in(result, "enabled"));
	json_decref(result);
	EXPECT(is_wanted(&w, 0));
	result = ask(&w, "targets.list", "{\"pattern\":\"plant\"}");
	EXPECT(flag_in(item(result, "targets", 0), "enabled"));
	EXPECT(!flag_in(result, "ok"));
	json_decref(result);
	world_close(&w);
}

TEST(a_target_is_wanted_while_its_own_switch_and_its_packages_are_both_on)
{
	struct world w;

	world_open(&w, packages);
	EXPECT(is_wanted(&w, 1));
	EXPECT(!is_wanted(&w, 2));
	EXPECT(!is_wanted(&w, 3)); /* its package is off */
	json_t *result = ask(&w, "packages.disable", "{\"name\":\"hall\"}");
	EXPECT(!flag_in(result, "enabled"));
	EXPECT_EQ(number_in(result, "targets"), 2);
	EXPECT_EQ(number_in(result, "targets_enabled"), 0);
	json_decref(result);
	EXPECT(is_wanted(&w, 0));
	EXPECT(!is_wanted(&w, 1));
	json_decref(ask(&w, "packages.enable", "{\"name\":\"hall\"}"));
	EXPECT(is_wanted(&w, 1));
	EXPECT(!is_wanted(&w, 2)); /* as the file has it */
	json_decref(ask(&w, "packages.disable", "{\"name\":\"hall\"}"));
	/* Its own switch goes on; that is remembered until its package is on, too. */
	result = ask(&w, "targets.enable", "{\"name\":\"h2\"}");
	EXPECT(!flag_in(result, "enabled"));
	EXPECT(!flag_in(result, "package_enabled"));
	EXPECT_TEXT(text_in(result, "package"), "hall");
	json_decref(result);
	EXPECT(!is_wanted(&w, 2));
	json_decref(ask(&w, "targets.disable", "{\"name\":\"h1\"}"));
	json_decref(ask(&w, "packages.enable", "{\"name\":\"hall\"}"));
	EXPECT(!is_wanted(&w, 1));
	EXPECT(is_wanted(&w, 2));
	json_decref(ask(&w, "packages.enable", "{\"name\":\"dark\"}"));
	EXPECT(is_wanted(&w, 3));
	world_close(&w);
}

TEST(packages_are_listed_with_their_targets)
{
	struct world w;

	world_open(&w, packages);
	set_state(&w, 1, TARGET_CONNECTED);
	json_t *list = ask(&w, "packages.list", "{}"), *hall = item(list, "packages", 1);
	EXPECT_EQ(number_in(list, "total"), 3);
	EXPECT_TEXT(text_in(hall, "name"), "hall");
	EXPECT_TEXT(text_in(hall, "description"), "far away");
	EXPECT(flag_in(hall, "enabled"));
	EXPECT_EQ(number_in(hall, "targets"), 2);
	EXPECT_EQ(number_in(hall, "targets_enabled"), 1);
	EXPECT_EQ(number_in(hall, "targets_connected"), 1);
	EXPECT(!flag_in(item(list, "packages", 2), "enabled"));
	json_decref(list);
	list = ask(&w, "status", "{}");
	EXPECT(flag_in(item(list, "targets", 0), "package_enabled"));
	EXPECT(!flag_in(item(list, "targets", 3), "package_enabled"));
	json_decref(list);
	world_close(&w);
}

TEST(what_is_not_there_cannot_be_switched)
{
	static const char *const methods[] = {"targets.enable", "targets.disable", "packages.enable",
					      "packages.disable"};
	char *text = malloc(60000);
	struct world w;

	world_open(&w, packages);
	for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
		expect_refused(&w, methods[i], "{}", "name is missing");
		expect_refused(&w, methods[i], "{\"name\":7}", "name is a text");
		expect_refused(&w, methods[i], "{\"name\":null}", "name is a text");
		expect_refused(&w, methods[i], "{\"name\":[\"plant\"]}", "name is a text");
		expect_refused(&w, methods[i], "{\"name\":\"plant\",\"until\":1}",
			       "no such parameter: until");
	}
	expect_refused(&w, "targets.disable", "{\"name\":\"plamt\"}",
		       "there is no target plamt; did you mean plant?");
	expect_refused(&w, "targets.enable", "{\"name\":\"\"}", "there is no target ");
	expect_refused(&w, "targets.enable", "{\"name\":\"*\"}", "there is no target *");
	expect_refused(&w, "packages.disable", "{\"name\":\"hal\"}",
		       "there is no package hal; did you mean hall?");
	expect_refused(&w, "packages.enable", "{\"name\":\"plant\"}", "there is no package plant");
	expect_refused(&w, "subscriptions.list", "{\"target\":\"hl\"}",
		       "there is no target hl; did you mean h1?");
	expect_refused(&w, "subscriptions.list", "{\"target\":{}}", "target is a text");
	expect_refused(&w, "subscriptions.list", "{\"limit\":1001}",
		       "limit is a whole number from 1 to 1000");
	expect_refused(&w, "definitions.list", "{\"offset\":-1}",
		       "offset is a whole number from 0 to 4294967295");
	expect_refused(&w, "packages.list", "{\"limit\":0}", "limit is a whole number from 1 to 1000");
	/* As long as a line may be; the answer is cut. */
	memset(text, 'x', 60000);
	memcpy(text, "{\"name\":\"", 9);
	memcpy(text + 59997, "\"}", 3);
	struct jsonrpc_error why = {0};
	json_t *result = NULL;
	EXPECT_EQ(ctl_call(&w.client, "targets.enable", json_loads(text, 0, NULL), &result, &why), -EPROTO);
	EXPECT_EQ(why.code, JSONRPC_INVALID_PARAMS);
	EXPECT(!strncmp(why.text, "there is no target xxx", 22));
	EXPECT(is_wanted(&w, 0));
	EXPECT(is_wanted(&w, 1));
	free(text);
	world_close(&w);
}

TEST(only_operators_switch)
{
	static const char *const operators_only[] = {"targets.enable",   "targets.disable", "packages.enable",
						     "packages.disable", "buffer.set",      "stop"};
	size_t found_count = 0;

	for (size_t i = 0; i < rpc_method_count(); i++)
		for (size_t k = 0; k < ARRAY_COUNT(operators_only); k++)
			if (!strcmp(rpc_methods()[i].name, operators_only[k])) {
				EXPECT_EQ(rpc_methods()[i].role, CONTROL_OPERATOR);
				found_count++;
			}
	EXPECT_EQ(found_count, ARRAY_COUNT(operators_only));
}
