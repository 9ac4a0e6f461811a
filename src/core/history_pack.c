/*
 * history_pack.c
 *		Packed events: see history_pack.h.
 *
 * After a byte for the format each event is its type, flags for what it has,
 * and that. Numbers are as long as they need be, and small: times and places
 * are told from those of the event before. JSON is in the form that tables
 * hold it in, in the byte order of the server, which the format tells.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/timestamp.h"

#include "core/history_pack.h"

#ifdef WORDS_BIGENDIAN
#define PACK_FORMAT 0x81
#else
#define PACK_FORMAT 0x01
#endif

/* A row with more would be compressed, or stored apart, at a cost. */
#define MAX_PACK_SIZE 1600

enum
{
	P_OPENS = 1 << 0,
	P_CLOSES = 1 << 1,
	P_NEW_TURN = 1 << 2,
	P_FIRE_AT = 1 << 3,
	P_TASK_ID = 1 << 4,
	P_NAME = 1 << 5,
	P_SAME_NAME = 1 << 6,
	P_VERSION = 1 << 7,
	P_TARGET = 1 << 8,
	P_PAYLOAD = 1 << 9,
	P_FAILURE = 1 << 10,
	P_TAGS = 1 << 11,
	P_RETRY = 1 << 12
};

/* What numbers of the next event are told from. */
typedef struct Place
{
	int			seq;
	int			turn;
	TimestampTz turn_at;
	const char *name;
} Place;

struct HistoryPack
{
	StringInfoData bytes;
	Place		place;
};

/* ------------------------------------------------------------------------
 * Packing
 * ------------------------------------------------------------------------
 */

HistoryPack *
history_pack_make(void)
{
	HistoryPack *pack = palloc0(sizeof(HistoryPack));

	initStringInfo(&pack->bytes);
	return pack;
}

static void
put_unsigned(StringInfo bytes, uint64 number)
{
	for (; number >= 0x80; number >>= 7)
		appendStringInfoChar(bytes, (char) (number | 0x80));
	appendStringInfoChar(bytes, (char) number);
}

static void
put_number(StringInfo bytes, int64 number)
{
	put_unsigned(bytes, ((uint64) number << 1) ^ (uint64) (number >> 63));
}

static void
put_bytes(StringInfo bytes, const char *data, int length)
{
	put_unsigned(bytes, length);
	appendBinaryStringInfo(bytes, data, length);
}

static void
put_text(StringInfo bytes, const char *text)
{
	if (text != NULL)
		put_bytes(bytes, text, strlen(text));
}

static void
put_json(StringInfo bytes, Jsonb *json)
{
	if (json != NULL)
		put_bytes(bytes, VARDATA(json), VARSIZE(json) - VARHDRSZ);
}

static bool
is_same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static int
flags_of(const HistoryEvent *event, const Place *place)
{
	return (event->opens_turn ? P_OPENS : 0) | (event->closes_turn ? P_CLOSES : 0) |
		(event->turn != place->turn || event->turn_at != place->turn_at ? P_NEW_TURN : 0) |
		(TIMESTAMP_IS_NOBEGIN(event->fire_at) ? 0 : P_FIRE_AT) |
		(event->task_id == NO_TASK_ID ? 0 : P_TASK_ID) |
		(event->name == NULL ? 0 : is_same(event->name, place->name) ? P_SAME_NAME : P_NAME) |
		(event->version ? P_VERSION : 0) | (event->target_instance_id ? P_TARGET : 0) |
		(event->payload ? P_PAYLOAD : 0) | (event->failure ? P_FAILURE : 0) |
		(event->tags ? P_TAGS : 0) | (event->retry ? P_RETRY : 0);
}

static void
put_event(StringInfo bytes, const HistoryEvent *event, const Place *place)
{
	int			flags = flags_of(event, place);

	appendStringInfoChar(bytes, (char) event->type);
	put_unsigned(bytes, flags);
	put_number(bytes, (int64) event->seq - place->seq);
	if (flags & P_NEW_TURN)
	{
		put_number(bytes, (int64) event->turn - place->turn);
		put_number(bytes, event->turn_at - place->turn_at);
	}
	put_number(bytes, event->timestamp - event->turn_at);
	put_number(bytes, event->event_id);
	if (flags & P_FIRE_AT)
		put_number(bytes, event->fire_at);
	if (flags & P_TASK_ID)
		put_number(bytes, event->task_id);
	if (flags & P_NAME)
		put_text(bytes, event->name);
	put_text(bytes, event->version);
	put_text(bytes, event->target_instance_id);
	put_json(bytes, event->payload);
	put_json(bytes, event->failure);
	put_json(bytes, event->tags);
	put_json(bytes, event->retry);
}

/* A bound of what it takes: nothing large is copied to find out. */
static Size
size_of_event(const HistoryEvent *event)
{
	return 64 + (event->name ? strlen(event->name) : 0) + (event->version ? strlen(event->version) : 0) +
		(event->target_instance_id ? strlen(event->target_instance_id) : 0) +
		(event->payload ? VARSIZE(event->payload) : 0) + (event->failure ? VARSIZE(event->failure) : 0) +
		(event->tags ? VARSIZE(event->tags) : 0) + (event->retry ? VARSIZE(event->retry) : 0);
}

bool
history_pack_add(HistoryPack *pack, const HistoryEvent *event)
{
	if (pack->bytes.len + size_of_event(event) > MAX_PACK_SIZE)
		return false;
	if (pack->bytes.len == 0)
		appendStringInfoChar(&pack->bytes, (char) PACK_FORMAT);
	put_event(&pack->bytes, event, &pack->place);
	pack->place.seq = event->seq;
	pack->place.turn = event->turn;
	pack->place.turn_at = event->turn_at;
	if (event->name)
		pack->place.name = event->name;
	return true;
}

bytea *
history_pack_finish(HistoryPack *pack)
{
	bytea	   *packed;

	if (pack->bytes.len == 0)
		return NULL;
	packed = palloc(VARHDRSZ + pack->bytes.len);
	SET_VARSIZE(packed, VARHDRSZ + pack->bytes.len);
	memcpy(VARDATA(packed), pack->bytes.data, pack->bytes.len);
	return packed;
}

/* ------------------------------------------------------------------------
 * Unpacking
 * ------------------------------------------------------------------------
 */

typedef struct Reader
{
	const unsigned char *next;
	const unsigned char *end;
	bool		damaged;		/* what was read is worth nothing */
} Reader;

/* Nothing is left to be read. */
static void
give_up(Reader *reader)
{
	reader->damaged = true;
	reader->next = reader->end;
}

static unsigned char
get_byte(Reader *reader)
{
	if (reader->next < reader->end)
		return *reader->next++;
	give_up(reader);
	return 0;
}

static uint64
get_unsigned(Reader *reader)
{
	uint64		number = 0;

	for (int shift = 0; shift < 64; shift += 7)
	{
		unsigned char byte = get_byte(reader);

		number |= (uint64) (byte & 0x7F) << shift;
		if (byte < 0x80)
			return number;
	}
	give_up(reader);
	return 0;
}

static int64
get_number(Reader *reader)
{
	uint64		number = get_unsigned(reader);

	return (int64) (number >> 1) ^ -(int64) (number & 1);
}

/* The sum wraps, whatever the bytes are. */
static int64
get_moved(Reader *reader, int64 from)
{
	return (int64) ((uint64) from + (uint64) get_number(reader));
}

static const unsigned char *
get_bytes(Reader *reader, int *length)
{
	uint64		n = get_unsigned(reader);
	const unsigned char *bytes = reader->next;

	if (n > (uint64) (reader->end - reader->next))
	{
		give_up(reader);
		n = 0;
	}
	reader->next += n;
	*length = (int) n;
	return bytes;
}

static const char *
get_text(Reader *reader, bool present)
{
	int			length;
	const unsigned char *bytes;

	if (!present)
		return NULL;
	bytes = get_bytes(reader, &length);
	return pnstrdup((const char *) bytes, length);
}

static Jsonb *
get_json(Reader *reader, bool present)
{
	int			length;
	const unsigned char *bytes;
	Jsonb	   *json;

	if (!present)
		return NULL;
	bytes = get_bytes(reader, &length);
	if (length < sizeof(JsonbContainer))
	{
		give_up(reader);
		return NULL;
	}
	json = palloc(VARHDRSZ + length);
	SET_VARSIZE(json, VARHDRSZ + length);
	memcpy(VARDATA(json), bytes, length);
	return json;
}

static HistoryEvent *
get_event(Reader *reader, Place *place)
{
	HistoryEvent *event = history_event_make((EventType) get_byte(reader), 0);
	int			flags = (int) get_unsigned(reader);

	event->opens_turn = (flags & P_OPENS) != 0;
	event->closes_turn = (flags & P_CLOSES) != 0;
	event->seq = place->seq = (int) get_moved(reader, place->seq);
	if (flags & P_NEW_TURN)
	{
		place->turn = (int) get_moved(reader, place->turn);
		place->turn_at = get_moved(reader, place->turn_at);
	}
	event->turn = place->turn;
	event->turn_at = place->turn_at;
	event->timestamp = get_moved(reader, event->turn_at);
	event->event_id = (int) get_number(reader);
	if (flags & P_FIRE_AT)
		event->fire_at = get_number(reader);
	if (flags & P_TASK_ID)
		event->task_id = (int) get_number(reader);
	event->name = flags & P_SAME_NAME ? place->name : get_text(reader, flags & P_NAME);
	if (event->name)
		place->name = event->name;
	event->version = get_text(reader, flags & P_VERSION);
	event->target_instance_id = get_text(reader, flags & P_TARGET);
	event->payload = get_json(reader, flags & P_PAYLOAD);
	event->failure = get_json(reader, flags & P_FAILURE);
	event->tags = get_json(reader, flags & P_TAGS);
	event->retry = get_json(reader, flags & P_RETRY);
	return event;
}

bool
history_unpack(const bytea *packed, List **events)
{
	Reader		reader = {(const unsigned char *) VARDATA_ANY(packed),
	(const unsigned char *) VARDATA_ANY(packed) + VARSIZE_ANY_EXHDR(packed)};
	Place		place = {0};

	if (get_byte(&reader) != PACK_FORMAT)
		return false;
	while (reader.next < reader.end)
		*events = lappend(*events, get_event(&reader, &place));
	return !reader.damaged;
}
