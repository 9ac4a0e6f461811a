/*
 * points.h
 *		Named places at which tests can stop, end or kill a process.
 *
 * They exist in the library of test/modules/points alone: in the one that is
 * installed DURABLE_POINT() is nothing, and no object code comes of it.
 */
#ifndef DURABLE_POINTS_H
#define DURABLE_POINTS_H

#ifdef DURABLE_TEST_POINTS
/* Does what the test has armed this point for, if it has. May be called anywhere, also with interrupts held. */
extern void point_reached(const char *name);

#define DURABLE_POINT(name) point_reached(name)
#else
#define DURABLE_POINT(name) ((void) 0)
#endif

#endif							/* DURABLE_POINTS_H */
