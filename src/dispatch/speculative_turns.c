/*
 * speculative_turns.c
 *		Turns while the orchestrator waits: see speculative_turns.h.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/hsearch.h"

#include "clock.h"
#include "dispatch/activity_execution.h"
#include "dispatch/registry.h"
#include "dispatch/sharing.h"
#include "dispatch/speculative_turns.h"
#include "points.h"
#include "settings.h"
#include "shmem.h"
#include "suspects.h"

/* ------------------------------------------------------------------------
 * Places where code was seen to return
 * ------------------------------------------------------------------------
 */

/* So many are remembered; then all are forgotten. */
#define MAX_PLACES 8192

/* In how many turns of an execution we look for places. */
#define MAX_TURNS 1024

/* A failure makes it dearer by this factor, a success cheaper by half. */
#define PRICE_FACTOR 4
#define MAX_PRICE 4096

/* A failure that may be due to a busy machine makes it cost so much. */
#define PRICE_OF_DELAY 8

/* Activities that usually take less than that do not fill the time by themselves. */
#define USUAL_MS_IN_TIME 10.0

typedef struct Place
{
	uint64		key;
	int			credit;			/* how often it returned since the last failure */
	int			price;			/* how often it must, for the next attempt */
} Place;

static HTAB *places = NULL;

static uint64
place_of(const RuntimeState *state, int action_id)
{
	uint64		hub = hash_bytes_extended((const unsigned char *) state->task_hub, strlen(state->task_hub), action_id);

	return hash_bytes_extended((const unsigned char *) state->function, strlen(state->function), hub);
}

static Place *
remember_place(uint64 key)
{
	Place	   *place;
	bool		found;

	if (places != NULL && hash_get_num_entries(places) >= MAX_PLACES)
	{
		hash_destroy(places);
		places = NULL;
	}
	if (places == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(uint64),.entrysize = sizeof(Place)};

		places = hash_create("durable places of speculation", 256, &control, HASH_ELEM | HASH_BLOBS);
	}
	place = hash_search(places, &key, HASH_ENTER, &found);
	if (!found)
	{
		place->credit = 0;
		place->price = 1;
	}
	return place;
}

static bool
place_is_good(uint64 key)
{
	const Place *place = places ? hash_search(places, &key, HASH_FIND, NULL) : NULL;

	return place != NULL && place->credit >= place->price;
}

static void
note_return(uint64 key)
{
	Place	   *place = remember_place(key);

	if (place->credit < MAX_PRICE)
		place->credit++;
}

static void
note_success(uint64 key)
{
	Place	   *place = remember_place(key);

	place->price = Max(place->price / 2, 1);
}

static void
note_failure(uint64 key, bool was_held_up)
{
	Place	   *place = remember_place(key);

	place->credit = 0;
	if (was_held_up)
		place->price = Max(place->price, PRICE_OF_DELAY);
	else
		place->price = Min(place->price * PRICE_FACTOR, MAX_PRICE);
}

/* Do replays from the beginning of this event on wait for activities alone? */
static bool
is_of_activities(const HistoryEvent *event)
{
	return event->type == EVENT_TASK_SCHEDULED || event->type == EVENT_TASK_COMPLETED ||
		event->type == EVENT_EXECUTION_COMPLETED;
}

static const HistoryEvent *
nth_event(const RuntimeState *state, int n)
{
	int			n_past = list_length(state->past_events);

	return n < n_past ? list_nth(state->past_events, n) : list_nth(state->new_events, n - n_past);
}

/* The first activity of each turn, from the last one backwards. */
void
speculative_turns_learn(const RuntimeState *state)
{
	int			turn = 0;
	int			first_id = NO_TASK_ID;
	int			n_turns = 0;

	if (!inline_is_turned_on())
		return;
	for (int n = list_length(state->past_events) + list_length(state->new_events) - 1; n >= 0 && n_turns < MAX_TURNS; n--)
	{
		const HistoryEvent *event = nth_event(state, n);

		if (!is_of_activities(event))
			break;
		if (event->type != EVENT_TASK_SCHEDULED)
			continue;
		if (event->turn != turn && first_id != NO_TASK_ID)
		{
			note_return(place_of(state, first_id));
			n_turns++;
		}
		turn = event->turn;
		first_id = event->event_id;
	}
	if (first_id != NO_TASK_ID)
		note_return(place_of(state, first_id));
}

/* ------------------------------------------------------------------------
 * One run of the code
 * ------------------------------------------------------------------------
 */

/* If subtransaction ids are what is used up, that is due to the code, not to the machine. */
static bool
has_room(SpeculativeTurns *turns)
{
	turns->had_no_time = !sharing_may_go_on();
	return !turns->had_no_time && sharing_has_ids();
}

static bool
suits_await(SpeculativeTurns *turns, const RuntimeState *state, const List *actions)
{
	double		usual_ms;

	if (!inline_suits_await(turns->scope, state, actions, &usual_ms))
		return false;
	turns->usual_ms += usual_ms;
	return true;
}

/* What leaves must be these activities and nothing else, and the turn must not be split. */
static bool
suits(SpeculativeTurns *turns, const RuntimeState *state, const TurnResult *turn)
{
	const Outbox *outbox = turns->outbox;
	int			n_events = list_length(state->past_events) + list_length(state->new_events) + list_length(turn->actions);

	if (turn->actions == NIL || outbox->activities != NIL || outbox->messages != NIL || outbox->children != NIL ||
		state->status != STATUS_RUNNING || worker_is_asked_to_leave())
		return false;
	if (setting_max_messages_per_turn > 0 && list_length(turn->actions) >= setting_max_messages_per_turn)
		return false;
	return n_events <= turns->max_history_events && has_room(turns) && suits_await(turns, state, turn->actions);
}

/* Where it begins counts: later it is too late to choose. */
static bool
may_begin(const SpeculativeTurns *turns, const RuntimeState *state, int first_id)
{
	return turns->speculation.has_effects || place_is_good(place_of(state, first_id));
}

/* From here on the state has lists of its own: others may have kept the old ones. */
static void
save_state(SpeculativeTurns *turns, RuntimeState *state)
{
	turns->before = *state;
	state->past_events = list_copy(state->past_events);
	state->kept_events = list_copy(state->kept_events);
	state->new_events = list_copy(state->new_events);
}

/* Others would feel it, who wait for their locks or see their subtransactions: all is undone. */
static void
give_up(const RuntimeState *state)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("activities of instance \"%s\" have no room in their transaction any more", state->instance_id)));
}

static List *
run_activities(SpeculativeTurns *turns, const RuntimeState *state)
{
	List	   *answers = NIL;
	ListCell   *lc;

	foreach(lc, turns->outbox->activities)
	{
		const OutboundActivity *activity = lfirst(lc);

		if (!has_room(turns))
			give_up(state);
		answers = lappend(answers, inline_activity_run_within(turns->scope, state, activity->scheduled));
	}
	turns->n_activities += list_length(answers);
	turns->outbox->activities = NIL;
	return answers;
}

/* The turn is in hand again. */
static void
take_turn(const RuntimeState *state)
{
	WorkItemKey key = turn_key(state);

	(void) suspect_take(&key);	/* it was not charged, and nobody else can have had it in hand since */
	worker_report_item("turn", state->instance_id, state->name);
}

static void
begin_next_turn(SpeculativeTurns *turns, RuntimeState *state, List *answers)
{
	ListCell   *lc;

	take_turn(state);
	DURABLE_POINT("turn.within");
	runtime_state_keep_turn(state);
	runtime_state_begin_turn(state, clock_now());
	foreach(lc, answers)
		runtime_state_add_event(state, lfirst(lc));
	turns->n_turns++;
}

/* See speculation.h. */
static bool
run_turn_within(Speculation *speculation, RuntimeState *state, TurnResult *turn)
{
	SpeculativeTurns *turns = (SpeculativeTurns *) speculation;
	int			first_id;

	if (!suits(turns, state, turn))
		return false;
	first_id = ((const Action *) linitial(turn->actions))->id;
	if (!may_begin(turns, state, first_id))
		return false;
	if (!speculation->has_effects)
		save_state(turns, state);
	speculation->has_effects = true;
	turns->first_ids = lappend_int(turns->first_ids, first_id);
	settle_retry_policies(state, turn);
	(void) decisions_apply(state, turn, turns->outbox, 0, clock_now());
	begin_next_turn(turns, state, run_activities(turns, state));
	return true;
}

void
speculative_turns_init(SpeculativeTurns *turns, InlineScope *scope, Outbox *outbox, int max_history_events)
{
	memset(turns, 0, sizeof(SpeculativeTurns));
	turns->speculation.run = run_turn_within;
	turns->scope = scope;
	turns->outbox = outbox;
	turns->max_history_events = max_history_events;
}

/* On a busy machine what is little takes long: that says nothing of the code, most times. */
static bool
was_held_up(const SpeculativeTurns *turns)
{
	return (turns->had_no_time || turns->speculation.timed_out) && turns->usual_ms < USUAL_MS_IN_TIME;
}

void
speculative_turns_undo(SpeculativeTurns *turns, RuntimeState *state)
{
	ListCell   *lc;

	foreach(lc, turns->first_ids)
		note_failure(place_of(state, lfirst_int(lc)), was_held_up(turns));
	activity_clean_up();
	if (turns->speculation.has_effects)
		*state = turns->before;
	turns->outbox->activities = NIL;
	take_turn(state);
}

void
speculative_turns_keep(SpeculativeTurns *turns, const RuntimeState *state)
{
	ListCell   *lc;

	foreach(lc, turns->first_ids)
		note_success(place_of(state, lfirst_int(lc)));
	turns->scope->n_run += turns->n_activities;
}
