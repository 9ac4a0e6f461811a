/*
 * string_set.h
 *		A set of strings.
 */
#ifndef DURABLE_STRING_SET_H
#define DURABLE_STRING_SET_H

#include "postgres.h"
#include "utils/hsearch.h"

typedef HTAB StringSet;

/* An empty set in CurrentMemoryContext. */
extern StringSet *string_set_make(void);

/* Adds a string, which must live as long as the set; false if it was there. */
extern bool string_set_add(StringSet *set, const char *string);

#endif							/* DURABLE_STRING_SET_H */
