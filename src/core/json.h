/*
 * json.h
 *		Small things done with jsonb in C. NULL stands for SQL NULL.
 */
#ifndef DURABLE_JSON_H
#define DURABLE_JSON_H

#include "postgres.h"
#include "utils/jsonb.h"

/* A JSON string. */
extern Jsonb *json_string(const char *text);

/* The fields of both objects, the second's winning; either may be NULL. */
extern Jsonb *json_merge(Jsonb *base, Jsonb *overriding);

/* The object (or an empty one) with one text field more. */
extern Jsonb *json_with_text(Jsonb *object, const char *key, const char *text);

/* Parts of an object that is being made: a key, or a whole field, unless its value is NULL. */
extern void json_push_key(JsonbParseState **state, const char *key);
extern void json_push_text(JsonbParseState **state, const char *key, const char *text);
extern void json_push_json(JsonbParseState **state, const char *key, Jsonb *json);

extern bool json_has_key(Jsonb *object, const char *key);

/* Text of a string field of an object, NULL if it has none. */
extern const char *json_text_field(Jsonb *object, const char *key);

/* A scalar as text without quotes, NULL if it is none. */
extern const char *json_scalar_text(Jsonb *json);

/*
 * The JSON object that a text is, whoever wrote it; NULL if it is none, or one
 * that is very large (1 MB), deep, or not fit for jsonb. Throws nothing but
 * for want of memory.
 */
extern Jsonb *json_object_from_text(const char *text);

#endif							/* DURABLE_JSON_H */
