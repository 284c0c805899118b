/* Passwords come by reference: what is read, and that nothing is left where it cannot be. */
#include "core/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/test.h"

/* As its own reader finds it: in a folder of its own that is gone afterwards. */
static int secret_of(const char *content, const char *reference, char *buffer, size_t size_bytes,
		     size_t *out_bytes)
{
	char dir[] = "/tmp/ringmain-test-XXXXXX", path[64];
	FILE *f;
	int rc;

	EXPECT(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/pw", dir);
	f = fopen(path, "w");
	EXPECT(f != NULL);
	fputs(content, f);
	fclose(f);
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	rc = config_secret(reference, dir, buffer, size_bytes, out_bytes);
	unlink(path);
	rmdir(dir);
	return rc;
}

TEST(a_secret_comes_from_a_file_the_environment_or_a_credential)
{
	char buffer[8];
	size_t size;

	EXPECT_EQ(secret_of("abc\n", "file:pw", buffer, sizeof(buffer), &size), 0);
	EXPECT_EQ(size, 3);
	EXPECT_MEM(buffer, "abc", 3);
	EXPECT_EQ(secret_of("abc", "cred:pw", buffer, sizeof(buffer), &size), 0);
	EXPECT_EQ(size, 3);
	setenv("RINGMAIN_TEST_PW", "xyz", 1);
	EXPECT_EQ(secret_of("", "env:RINGMAIN_TEST_PW", buffer, sizeof(buffer), &size), 0);
	EXPECT_MEM(buffer, "xyz", 3);
}

TEST(a_secret_that_cannot_be_had_leaves_nothing_in_the_buffer)
{
	char buffer[8], zero[8] = "";
	size_t size;

	memset(buffer, 'x', sizeof(buffer));
	EXPECT_EQ(secret_of("12345678", "file:pw", buffer, sizeof(buffer), &size), 0);
	EXPECT_EQ(size, 8);
	EXPECT_EQ(secret_of("123456789", "file:pw", buffer, sizeof(buffer), &size), -E2BIG);
	EXPECT_EQ(size, 0);
	EXPECT_MEM(buffer, zero, sizeof(zero));
	EXPECT_EQ(secret_of("", "file:other", buffer, sizeof(buffer), &size), -ENOENT);
	EXPECT_EQ(secret_of("", "env:RINGMAIN_TEST_NONE", buffer, sizeof(buffer), &size), -ENOENT);
	EXPECT_EQ(secret_of("", "cred:../pw", buffer, sizeof(buffer), &size), -EINVAL);
	EXPECT_EQ(secret_of("", "hunter2", buffer, sizeof(buffer), &size), -EINVAL);
}
