#include "core/yaml_tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/test.h"

static struct tree tree;
static struct tree_error error;

static int parse(const char *yaml)
{
	return tree_parse(&tree, bytes_of_text(yaml), &error);
}

static bool text_is(uint32_t node, const char *text)
{
	return bytes_equal(tree_text(&tree, node), bytes_of_text(text));
}

TEST(nodes_know_their_line_and_column)
{
	uint32_t list;

	EXPECT_EQ(parse("a: 1\nlist:\n  - x\n  - {b: 'y'}\n"), 0);
	list = tree_find(&tree, tree.root, "list");
	EXPECT_EQ(tree.nodes[list].count, 2);
	EXPECT_EQ(tree.nodes[tree_child(&tree, list, 0)].line, 3);
	EXPECT_EQ(tree.nodes[tree_child(&tree, list, 0)].column, 5);
	EXPECT(text_is(tree_find(&tree, tree_child(&tree, list, 1), "b"), "y"));
	EXPECT(!tree.nodes[tree_find(&tree, tree_child(&tree, list, 1), "b")].plain);
	tree_free(&tree);
}

TEST(an_alias_is_the_node_it_stands_for)
{
	EXPECT_EQ(parse("a: &x {k: v}\nb: *x\nc: &s text\nd: *s\n"), 0);
	EXPECT_EQ(tree_find(&tree, tree.root, "a"), tree_find(&tree, tree.root, "b"));
	EXPECT(text_is(tree_find(&tree, tree.root, "d"), "text"));
	tree_free(&tree);
}

TEST(the_latest_anchor_of_a_name_counts)
{
	EXPECT_EQ(parse("[&x one, &x two, *x]"), 0);
	EXPECT(text_is(tree_child(&tree, tree.root, 2), "two"));
	tree_free(&tree);
}

TEST(an_alias_inside_of_itself_is_refused)
{
	EXPECT_EQ(parse("a: &x [1, *x]"), -EINVAL);
	EXPECT_EQ(error.column, 11);
	tree_free(&tree);
}

TEST(an_unknown_alias_is_refused_without_its_name)
{
	EXPECT_EQ(parse("password: *hunter2"), -EINVAL);
	EXPECT(!strstr(error.text, "hunter2"));
	tree_free(&tree);
}

/* Nine levels of nine aliases each would be 3.8e8 nodes. */
TEST(a_bomb_of_aliases_is_refused)
{
	char yaml[2048];
	size_t at = 0;

	at += (size_t)snprintf(yaml, sizeof(yaml), "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 9; i++)
		at += (size_t)snprintf(yaml + at, sizeof(yaml) - at,
				       "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i,
				       i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	EXPECT_EQ(parse(yaml), -EINVAL);
	EXPECT(strstr(error.text, "too large"));
	tree_free(&tree);
}

/* Aliases of one long text: few nodes, many bytes. 300 * 1 MiB is past the limit, 200 * 1 MiB is not. */
TEST(aliases_of_a_long_text_are_counted_in_bytes)
{
	size_t long_bytes = 1 << 20, size = long_bytes + 300 * 4 + 64;
	char *yaml = malloc(size);

	for (int alias_count = 200; alias_count <= 300; alias_count += 100) {
		size_t at = (size_t)snprintf(yaml, size, "[&x ");

		memset(yaml + at, 'a', long_bytes);
		at += long_bytes;
		for (int i = 0; i < alias_count; i++)
			at += (size_t)snprintf(yaml + at, size - at, ",*x ");
		snprintf(yaml + at, size - at, "]");
		EXPECT_EQ(parse(yaml), alias_count == 200 ? 0 : -EINVAL);
		tree_free(&tree);
	}
	free(yaml);
}

TEST(sixteen_levels_are_read_and_seventeen_refused)
{
	EXPECT_EQ(parse("[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]"), 0);
	tree_free(&tree);
	EXPECT_EQ(parse("[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]"), -EINVAL);
	EXPECT_EQ(error.column, 17);
	tree_free(&tree);
}

TEST(syntax_errors_have_their_place)
{
	EXPECT_EQ(parse("a: 1\nb: [1, 2\nc: 3\n"), -EINVAL);
	EXPECT_EQ(error.line, 3);
	tree_free(&tree);
	EXPECT_EQ(parse("a: 1\n\tb: 2\n"), -EINVAL);
	EXPECT_EQ(error.line, 2);
	EXPECT(strstr(error.text, "spaces, not tabs"));
	tree_free(&tree);
	EXPECT_EQ(parse("a: 1\nb: x\xff\n"), -EINVAL);
	EXPECT_EQ(error.line, 2);
	EXPECT(strstr(error.text, "UTF-8"));
	tree_free(&tree);
}

TEST(one_file_is_one_document_without_tags)
{
	EXPECT_EQ(parse("a: 1\n---\nb: 2\n"), -EINVAL);
	EXPECT_EQ(error.line, 2);
	tree_free(&tree);
	EXPECT_EQ(parse("a: !!str 1\n"), -EINVAL);
	tree_free(&tree);
	EXPECT_EQ(parse(""), 0);
	EXPECT_EQ(tree.root, TREE_NONE);
	tree_free(&tree);
}

TEST(too_many_anchors_are_refused)
{
	size_t size = 1100 * 16, at = 1;
	char *yaml = malloc(size);

	yaml[0] = '[';
	for (int i = 0; i < 1025; i++) {
		at += (size_t)snprintf(yaml + at, size - at, "&a%d x,", i);
		if (i < 1023)
			continue;
		snprintf(yaml + at, size - at, "]");
		EXPECT_EQ(parse(yaml), i == 1023 ? 0 : -EINVAL); /* 1024 of them, then 1025 */
		tree_free(&tree);
	}
	free(yaml);
}
