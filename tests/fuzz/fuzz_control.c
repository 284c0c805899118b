/* Any bytes in any split on the control socket: the same lines whatever the split, and each is a request or is refused with
 * words that can be sent. */
#include <stdlib.h>

#include "proto/jsonrpc.h"
#include "proto/line_framer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BUFFER_BYTES 512u

static void check_line(struct bytes line)
{
	struct jsonrpc_error why = {0};
	struct jsonrpc_request request;
	struct jsonrpc_reply reply;
	json_t *answer;
	char *text;
	bool valid = jsonrpc_request_parse(&request, line, &why) == 0;

	ASSERT(valid == (why.code == 0));
	ASSERT(!valid || request.method);
	if (valid)
		answer = jsonrpc_result(request.id, json_incref(request.root));
	else
		answer = jsonrpc_failure(request.id, &why);
	ASSERT(answer);
	text = json_dumps(answer, JSON_COMPACT);
	ASSERT(text);
	ASSERT(!strchr(text, '\n'));
	ASSERT(jsonrpc_reply_parse(&reply, bytes_of_text(text), &why) == 0);
	ASSERT(!reply.error == valid);
	jsonrpc_reply_free(&reply);
	free(text);
	json_decref(answer);
	jsonrpc_request_free(&request);
	(void)!jsonrpc_reply_parse(&reply, line, &why);
	jsonrpc_reply_free(&reply);
}

/* The first byte seeds the split; each line of the framer is what stands between two LF of the input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t buffer[BUFFER_BYTES];
	struct line_framer f;
	struct bytes line;
	uint32_t state = size ? data[0] : 0;
	size_t at = size ? 1 : 0, line_at = at;

	line_framer_init(&f, buffer, sizeof(buffer));
	while (at < size && !line_framer_overflowed(&f)) {
		struct writer room = line_framer_room(&f);
		size_t piece;

		state = state * 1103515245u + 12345u;
		piece = min_size(1 + (state >> 16) % 64, min_size(writer_left(&room), size - at));
		ASSERT(piece > 0);
		memcpy(room.at, data + at, piece);
		line_framer_filled(&f, piece);
		at += piece;
		while (line_framer_next(&f, &line)) {
			ASSERT(bytes_equal(line, bytes_of(data + line_at, line.size)));
			ASSERT(data[line_at + line.size] == '\n');
			line_at += line.size + 1;
			check_line(line);
		}
	}
	ASSERT(!line_framer_overflowed(&f) || at - line_at == BUFFER_BYTES);
	return 0;
}
