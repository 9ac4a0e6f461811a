/*
 * history_event.c
 *		History events: see history_event.h.
 */
#include "postgres.h"

#include "core/history_event.h"

HistoryEvent *
history_event_make(EventType type, TimestampTz timestamp)
{
	HistoryEvent *event = palloc0(sizeof(HistoryEvent));

	event->type = type;
	event->event_id = NO_EVENT_ID;
	event->task_id = NO_TASK_ID;
	event->fire_at = DT_NOBEGIN;
	event->timestamp = timestamp;
	return event;
}

const char *
history_event_type_name(EventType type)
{
	switch (type)
	{
		case EVENT_EXECUTION_STARTED:
			return "ExecutionStarted";
		case EVENT_EXECUTION_COMPLETED:
			return "ExecutionCompleted";
		case EVENT_EXECUTION_TERMINATED:
			return "ExecutionTerminated";
		case EVENT_TASK_SCHEDULED:
			return "TaskScheduled";
		case EVENT_TASK_COMPLETED:
			return "TaskCompleted";
		case EVENT_TASK_FAILED:
			return "TaskFailed";
		case EVENT_SUBORCHESTRATION_CREATED:
			return "SubOrchestrationInstanceCreated";
		case EVENT_SUBORCHESTRATION_COMPLETED:
			return "SubOrchestrationInstanceCompleted";
		case EVENT_SUBORCHESTRATION_FAILED:
			return "SubOrchestrationInstanceFailed";
		case EVENT_TIMER_CREATED:
			return "TimerCreated";
		case EVENT_TIMER_FIRED:
			return "TimerFired";
		case EVENT_EVENT_SENT:
			return "EventSent";
		case EVENT_EVENT_RAISED:
			return "EventRaised";
		case EVENT_CONTINUE_AS_NEW:
			return "ContinueAsNew";
		case EVENT_GENERIC:
			return "GenericEvent";
		case EVENT_EXECUTION_SUSPENDED:
			return "ExecutionSuspended";
		case EVENT_EXECUTION_RESUMED:
			return "ExecutionResumed";
		case EVENT_EXECUTION_REWOUND:
			return "ExecutionRewound";
	}
	return "unknown";
}
