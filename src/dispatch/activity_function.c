/*
 * activity_function.c
 *		From JSON to arguments, and from results to JSON.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_type.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "arguments.h"
#include "compat.h"
#include "core/json.h"
#include "dispatch/activity_function.h"
#include "plan_marks.h"
#include "replay/function_lookup.h"
#include "replay/orchestration_context.h"

#define MAX_ACTIVITY_ARGS 64

/* What the catalog says of an activity's function. */
typedef struct ActivityFunction
{
	Oid			oid;
	TransactionId xmin;			/* of its pg_proc row */
	ItemPointerData tid;
	int			n_args;
	int			n_defaults;
	Oid			variadic;
	Oid			result_type;
	Oid			types[MAX_ACTIVITY_ARGS];
	char	  **names;			/* NULL: none has one */
} ActivityFunction;

/* A saved plan of a call with a certain set of arguments. */
typedef struct CallPlanKey
{
	Oid			oid;
	TransactionId xmin;			/* with tid: the version of the pg_proc row; another name makes another plan */
	ItemPointerData tid;
	uint64		given;			/* bit i: argument i is given */
	uint32		settings;		/* plan_settings(): an inlined function has what they say in its constants */
} CallPlanKey;

typedef struct CallPlan
{
	CallPlanKey key;
	SPIPlanPtr	plan;
} CallPlan;

static HTAB *call_plans = NULL;

/* ------------------------------------------------------------------------
 * The function
 * ------------------------------------------------------------------------
 */

static const char *
function_problem(Form_pg_proc proc)
{
	if (proc->prokind != PROKIND_FUNCTION)
		return "An activity is a plain function, not a procedure, an aggregate or a window function.";
	if (proc->proretset)
		return "An activity returns one value, not a set.";
	if (get_typtype(proc->prorettype) == TYPTYPE_PSEUDO &&
		proc->prorettype != VOIDOID && proc->prorettype != RECORDOID)
		return "An activity returns no pseudo-type but void or record.";
	if (proc->pronargs > MAX_ACTIVITY_ARGS)
		return "An activity has at most 64 arguments.";
	for (int i = 0; i < proc->pronargs; i++)
		if (get_typtype(proc->proargtypes.values[i]) == TYPTYPE_PSEUDO)
			return "An activity has no arguments of a pseudo-type.";
	return NULL;
}

static void
check_function(Form_pg_proc proc, const char *name)
{
	const char *problem = function_problem(proc);

	if (problem == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
			 errmsg("function \"%s\" cannot be an activity", name),
			 errdetail("%s", problem),
			 errhint("Return jsonb_agg(...) or use durable.call_sql() for sets of rows; wrap what is no plain function in one.")));
}

/* The row of an activity's function, to be released. */
static HeapTuple
find_function(Oid oid, const char *name)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(oid));

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("activity \"%s\" does not exist", name)));
	check_function((Form_pg_proc) GETSTRUCT(tuple), name);
	return tuple;
}

void
activity_function_check(Oid function, const char *name)
{
	ReleaseSysCache(find_function(function, name));
}

static void
read_function(Oid oid, const char *name, ActivityFunction *function)
{
	HeapTuple	tuple = find_function(oid, name);
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);
	Datum		names;
	Datum		modes;
	bool		no_names;
	bool		no_modes;

	if (durable_proc_aclcheck(oid, GetUserId(), ACL_EXECUTE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, name);
	function_require_trusted(oid, name);
	memset(function, 0, sizeof(ActivityFunction));
	function->oid = oid;
	function->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	function->tid = tuple->t_self;
	function->n_args = proc->pronargs;
	function->n_defaults = proc->pronargdefaults;
	function->variadic = proc->provariadic;
	function->result_type = proc->prorettype;
	memcpy(function->types, proc->proargtypes.values, sizeof(Oid) * proc->pronargs);
	names = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargnames, &no_names);
	modes = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargmodes, &no_modes);
	if (!no_names)
		(void) get_func_input_arg_names(names, no_modes ? PointerGetDatum(NULL) : modes, &function->names);
	ReleaseSysCache(tuple);
}

/* ------------------------------------------------------------------------
 * Arguments
 * ------------------------------------------------------------------------
 */

/* Arrays, composites and ranges of JSON: the server's own conversion. */
static Datum
convert_by_query(Jsonb *json, Oid type, bool *isnull)
{
	char	   *query = psprintf("SELECT x.v FROM pg_catalog.jsonb_to_record(pg_catalog.jsonb_build_object('v', $1)) AS x(v %s)",
								 format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[1] = {JSONBOID};
	Datum		values[1] = {JsonbPGetDatum(json)};
	Datum		result;
	MemoryContext spi;

	SPI_connect();
	if (SPI_execute_with_args(query, 1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not convert an argument");
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);
	spi = MemoryContextSwitchTo(caller);
	if (!*isnull)
		result = datumCopy(result, get_typbyval(type), get_typlen(type));
	MemoryContextSwitchTo(spi);
	SPI_finish();
	return result;
}

static Datum
convert_text(const char *text, Oid type)
{
	Oid			input;
	Oid			ioparam;

	getTypeInputInfo(type, &input, &ioparam);
	return OidInputFunctionCall(input, (char *) text, ioparam, -1);
}

/* Does a JSON object or array become this type by more than its text? */
static bool
is_structured(Oid type)
{
	Oid			base = getBaseType(type);

	return OidIsValid(get_element_type(base)) || type_is_rowtype(base);
}

/* A JSON value as a value of an SQL type, by the casts jsonb_to_record() makes. */
static Datum
convert_argument(JsonbValue *value, Oid type, bool *isnull)
{
	Jsonb	   *json = JsonbValueToJsonb(value);
	Oid			base = getBaseType(type);

	*isnull = value->type == jbvNull && base != JSONBOID && base != JSONOID;
	if (*isnull)
		return (Datum) 0;
	if (type == JSONBOID)
		return JsonbPGetDatum(json);
	if (is_structured(type) && !JB_ROOT_IS_SCALAR(json))
		return convert_by_query(json, type, isnull);
	if (base == JSONBOID || base == JSONOID)
		return convert_text(JsonbToCString(NULL, &json->root, VARSIZE(json)), type);
	if (value->type == jbvString)
		return convert_text(pnstrdup(value->val.string.val, value->val.string.len), type);
	return convert_text(JsonbToCString(NULL, &json->root, VARSIZE(json)), type);
}

static void
argument_error_context(void *arg)
{
	errcontext("argument \"%s\" of the activity", (const char *) arg);
}

/* convert_argument() with a context that names the argument. */
static Datum
convert_named_argument(const char *name, JsonbValue *value, Oid type, bool *isnull)
{
	ErrorContextCallback callback;
	Datum		result;

	callback.callback = argument_error_context;
	callback.arg = (void *) name;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	result = convert_argument(value, type, isnull);
	error_context_stack = callback.previous;
	return result;
}

static int
argument_number(const ActivityFunction *function, const char *name)
{
	for (int i = 0; function->names != NULL && i < function->n_args; i++)
		if (function->names[i] && strcmp(function->names[i], name) == 0)
			return i;
	return -1;
}

static void
argument_mismatch(const ActivityFunction *function, const char *problem)
{
	Datum		arguments = DirectFunctionCall1(pg_get_function_arguments, ObjectIdGetDatum(function->oid));

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_PARAMETER),
			 errmsg("%s", problem),
			 errdetail("The arguments of %s are (%s).", get_func_name(function->oid), TextDatumGetCString(arguments)),
			 errhint("The input of an activity is an object with a field for each argument; only arguments with a name can be given.")));
}

static void
map_object(const ActivityFunction *function, Jsonb *input, Datum *values, char *nulls, uint64 *given)
{
	JsonbIterator *iterator = JsonbIteratorInit(&input->root);
	JsonbValue	value;
	JsonbIteratorToken token;
	char	   *name = NULL;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		bool		isnull;
		int			arg;

		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		if (token != WJB_VALUE)
			continue;
		arg = argument_number(function, name);
		if (arg < 0)
			argument_mismatch(function, psprintf("the activity has no argument \"%s\"", name));
		values[arg] = convert_named_argument(name, &value, function->types[arg], &isnull);
		nulls[arg] = isnull ? 'n' : ' ';
		*given |= UINT64CONST(1) << arg;
	}
}

static void
check_given(const ActivityFunction *function, uint64 given)
{
	for (int i = 0; i < function->n_args - function->n_defaults; i++)
	{
		if (given & (UINT64CONST(1) << i))
			continue;
		argument_mismatch(function, function->names && function->names[i] && function->names[i][0] ?
						  psprintf("argument \"%s\" of the activity is missing", function->names[i]) :
						  psprintf("argument %d of the activity has no name and cannot be given", i + 1));
	}
}

/* One argument that is given the input as a whole. */
static void
map_whole(const ActivityFunction *function, Jsonb *input, Datum *values, char *nulls)
{
	JsonbValue	value;
	bool		isnull = input == NULL;

	if (input != NULL)
	{
		if (!JB_ROOT_IS_SCALAR(input) || !JsonbExtractScalar(&input->root, &value))
		{
			value.type = jbvBinary;
			value.val.binary.data = &input->root;
			value.val.binary.len = VARSIZE(input) - VARHDRSZ;
		}
		values[0] = convert_named_argument("1", &value, function->types[0], &isnull);
	}
	nulls[0] = isnull ? 'n' : ' ';
}

/* Is the input the one argument, rather than an object of arguments? */
static bool
takes_whole_input(const ActivityFunction *function, Jsonb *input)
{
	if (function->n_args != 1)
		return false;
	if (function->types[0] == JSONBOID || function->types[0] == JSONOID)
		return true;
	return input != NULL && !JB_ROOT_IS_OBJECT(input);
}

static bool
is_json_null(Jsonb *input)
{
	JsonbValue	value;

	return input != NULL && JB_ROOT_IS_SCALAR(input) &&
		JsonbExtractScalar(&input->root, &value) && value.type == jbvNull;
}

static uint64
map_arguments(const ActivityFunction *function, Jsonb *input, Datum *values, char *nulls)
{
	uint64		given = 0;

	if (takes_whole_input(function, input))
	{
		map_whole(function, input, values, nulls);
		return 1;
	}
	if (function->n_args == 0 && is_json_null(input))
		return 0;
	if (input != NULL && !JB_ROOT_IS_OBJECT(input))
		argument_mismatch(function, "the input of the activity is not an object");
	if (input != NULL)
		map_object(function, input, values, nulls, &given);
	check_given(function, given);
	return given;
}

/* ------------------------------------------------------------------------
 * The call
 * ------------------------------------------------------------------------
 */

/* Are there other functions of the name in the schema? */
static bool
is_overloaded(const ActivityFunction *function)
{
	List	   *names = list_make2(makeString(get_namespace_name(get_func_namespace(function->oid))),
								   makeString(get_func_name(function->oid)));
	FuncCandidateList candidates = FuncnameGetCandidates(names, -1, NIL, false, false, false, true);

	return candidates != NULL && candidates->next != NULL;
}

/* The default of an argument (counted from 1, OUT arguments too) as SQL, NULL if it has none. */
static char *
default_expression(Oid function, int arg)
{
	Datum		expression;
	LOCAL_FCINFO(fcinfo, 2);

	InitFunctionCallInfoData(*fcinfo, NULL, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(function);
	fcinfo->args[1].value = Int32GetDatum(arg);
	fcinfo->args[0].isnull = fcinfo->args[1].isnull = false;
	expression = pg_get_function_arg_default(fcinfo);
	return fcinfo->isnull ? NULL : TextDatumGetCString(expression);
}

/* The defaults as SQL, in the place of their input arguments: the last of these have them. */
static char **
default_expressions(const ActivityFunction *function)
{
	char	  **defaults = palloc0(sizeof(char *) * (MAX_ACTIVITY_ARGS + 1));
	int			n = function->n_args - function->n_defaults;

	for (int arg = 1; n < function->n_args && arg <= FUNC_MAX_ARGS; arg++)
	{
		defaults[n] = default_expression(function->oid, arg);
		if (defaults[n] != NULL)
			n++;
	}
	return defaults;
}

static void
append_argument_name(StringInfo query, const ActivityFunction *function, int arg, bool by_name)
{
	if (OidIsValid(function->variadic) && arg == function->n_args - 1)
		appendStringInfoString(query, "VARIADIC ");
	if (by_name && function->names && function->names[arg] && function->names[arg][0])
		appendStringInfo(query, "%s => ", quote_identifier(function->names[arg]));
}

/*
 * a => $1, b => $2. What is not given is left to the function's defaults,
 * unless another function of the name might then be meant: then all arguments
 * are spelled out in their order, and fit this one best.
 */
static void
append_arguments(StringInfo query, const ActivityFunction *function, uint64 given)
{
	char	  **defaults = is_overloaded(function) ? default_expressions(function) : NULL;
	const char *separator = "";
	int			param = 0;

	for (int i = 0; i < function->n_args; i++)
	{
		bool		is_given = (given & (UINT64CONST(1) << i)) != 0;

		if (!is_given && (defaults == NULL || defaults[i] == NULL))
			continue;
		appendStringInfoString(query, separator);
		separator = ", ";
		append_argument_name(query, function, i, defaults == NULL);
		if (is_given)
			appendStringInfo(query, "$%d", ++param);
		else
			appendStringInfo(query, "(%s)::%s", defaults[i],
							 format_type_extended(function->types[i], -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	}
}

/* SELECT to_jsonb(f(a => $1, b => $2)), or less where the result is jsonb or nothing. */
static char *
call_query(const ActivityFunction *function, uint64 given)
{
	bool		plain = function->result_type == VOIDOID || function->result_type == JSONBOID;
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query, "SELECT %s%s(", plain ? "" : "pg_catalog.to_jsonb(",
					 quote_qualified_identifier(get_namespace_name(get_func_namespace(function->oid)),
												get_func_name(function->oid)));
	append_arguments(&query, function, given);
	appendStringInfoString(&query, plain ? ")" : "))");
	return query.data;
}

static SPIPlanPtr
make_call_plan(const ActivityFunction *function, uint64 given)
{
	Oid			types[MAX_ACTIVITY_ARGS];
	int			n = 0;
	SPIPlanPtr	plan;

	for (int i = 0; i < function->n_args; i++)
		if (given & (UINT64CONST(1) << i))
			types[n++] = function->types[i];
	plan = SPI_prepare_cursor(call_query(function, given), n, types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare the call of an activity: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/* The saved plan of a call; made at first use. */
static SPIPlanPtr
call_plan(const ActivityFunction *function, uint64 given)
{
	CallPlanKey key;
	CallPlan   *entry;
	bool		found;

	if (call_plans == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(CallPlanKey);
		control.entrysize = sizeof(CallPlan);
		call_plans = hash_create("durable activity plans", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	memset(&key, 0, sizeof(key));
	key.oid = function->oid;
	key.xmin = function->xmin;
	key.tid = function->tid;
	key.given = given;
	key.settings = plan_settings();
	entry = hash_search(call_plans, &key, HASH_FIND, NULL);
	if (entry == NULL)
	{
		SPIPlanPtr	plan = make_call_plan(function, given);

		entry = hash_search(call_plans, &key, HASH_ENTER, &found);
		entry->plan = plan;
	}
	return entry->plan;
}

/* Removes what is not given. */
static void
squeeze_arguments(const ActivityFunction *function, uint64 given, Datum *values, char *nulls)
{
	int			n = 0;

	for (int i = 0; i < function->n_args; i++)
	{
		if (!(given & (UINT64CONST(1) << i)))
			continue;
		values[n] = values[i];
		nulls[n] = nulls[i];
		n++;
	}
	nulls[n] = '\0';
}

/* The first column of the first row of the last SPI result as jsonb in "caller". */
static Jsonb *
single_result(MemoryContext caller)
{
	bool		isnull;
	Datum		value;
	MemoryContext old;
	Jsonb	   *result;

	if (SPI_processed == 0)
		return NULL;
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(caller);
	result = (Jsonb *) PG_DETOAST_DATUM_COPY(value);
	MemoryContextSwitchTo(old);
	return result;
}

/* The registered function, or the one the name finds. */
static Oid
function_of_call(const ActivityCall *call)
{
	if (call->other_versions != NULL)
		no_such_version("activity", call->name, call->version, call->other_versions);
	if (call->function != NULL)
		return registered_function("activity", call->name, call->function);
	return activity_lookup(call->name, call->input);
}

static void
call_function(ActivityCall *call)
{
	MemoryContext caller = CurrentMemoryContext;
	ActivityFunction function;
	Datum		values[MAX_ACTIVITY_ARGS];
	char		nulls[MAX_ACTIVITY_ARGS + 1];
	uint64		given;
	int			status;

	read_function(function_of_call(call), call->name, &function);
	given = map_arguments(&function, call->input, values, nulls);
	squeeze_arguments(&function, given, values, nulls);
	SPI_connect();
	call->prepared = true;
	status = SPI_execute_plan(call_plan(&function, given), values, nulls, false, 0);
	if (status != SPI_OK_SELECT)
		elog(ERROR, "could not call an activity: %s", SPI_result_code_string(status));
	if (function.result_type != VOIDOID)
		call->result = single_result(caller);
	SPI_finish();
}

/* ------------------------------------------------------------------------
 * Statements
 * ------------------------------------------------------------------------
 */

/* An argument {"type": ..., "value": ...} of a statement. */
static void
statement_argument(Jsonb *argument, Oid *type, Datum *value, char *is_null)
{
	const char *text = json_text_field(argument, "value");
	const char *type_name = json_text_field(argument, "type");
	int32		typmod;

	if (type_name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an argument of the statement has no type"),
				 errhint("Use durable.call_sql().")));
	parseTypeString(type_name, type, &typmod, false);
	*is_null = text ? ' ' : 'n';
	if (text)
		*value = convert_text(text, *type);
}

static int
statement_arguments(Jsonb *input, Oid *types, Datum *values, char *nulls)
{
	JsonbValue	array;
	int			n = 0;

	if (getKeyJsonValueFromContainer(&input->root, "args", 4, &array) == NULL || array.type != jbvBinary ||
		!JsonContainerIsArray(array.val.binary.data))
		return 0;
	for (;;)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array.val.binary.data, n);

		if (element == NULL || n == FUNC_MAX_ARGS)
			return n;
		statement_argument(JsonbValueToJsonb(element), &types[n], &values[n], &nulls[n]);
		n++;
	}
}

/* A row of the last SPI result as a JSON object. */
static Datum
row_as_jsonb(uint64 n)
{
	Param	   *row_type = makeNode(Param);
	Datum		row = heap_copy_tuple_as_datum(SPI_tuptable->vals[n], SPI_tuptable->tupdesc);
	FmgrInfo	to_jsonb;

	row_type->paramtype = RECORDOID;
	fmgr_info(F_TO_JSONB, &to_jsonb);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(row_type),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL), &to_jsonb);
	return FunctionCall1(&to_jsonb, row);
}

/* No row: null; one row: an object; several: an array of objects. */
static Jsonb *
statement_result(MemoryContext caller)
{
	JsonbParseState *state = NULL;
	MemoryContext old;
	Jsonb	   *result;

	if (SPI_tuptable == NULL || SPI_processed == 0)
		return NULL;
	BlessTupleDesc(SPI_tuptable->tupdesc);
	old = MemoryContextSwitchTo(caller);
	if (SPI_processed == 1)
		result = DatumGetJsonbP(row_as_jsonb(0));
	else
	{
		pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			JsonbValue	value;
			Jsonb	   *row = DatumGetJsonbP(row_as_jsonb(i));

			value.type = jbvBinary;
			value.val.binary.data = &row->root;
			value.val.binary.len = VARSIZE(row) - VARHDRSZ;
			pushJsonbValue(&state, WJB_ELEM, &value);
		}
		result = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
	}
	MemoryContextSwitchTo(old);
	return result;
}

static void
statement_not_possible(int status)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("this statement cannot be run as an activity"),
			 status == SPI_ERROR_TRANSACTION ?
			 errdetail("An activity is one transaction with the record that it ran: it cannot begin or end one.") :
			 status == SPI_ERROR_COPY ?
			 errdetail("There is no client to COPY from or to.") :
			 errdetail("%s", SPI_result_code_string(status))));
}

static void
run_statement(ActivityCall *call)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[FUNC_MAX_ARGS];
	Datum		values[FUNC_MAX_ARGS];
	char		nulls[FUNC_MAX_ARGS + 1];
	const char *query = json_text_field(call->input, "query");
	int			n;
	int			status;

	if (query == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is for durable.call_sql()", SQL_ACTIVITY_NAME)));
	n = statement_arguments(call->input, types, values, nulls);
	nulls[n] = '\0';
	call->prepared = true;
	SPI_connect();
	status = SPI_execute_with_args(query, n, types, values, nulls, false, 0);
	if (status < 0)
		statement_not_possible(status);
	call->result = statement_result(caller);
	SPI_finish();
}

void
activity_call(void *arg)
{
	ActivityCall *call = arg;

	if (strcmp(call->name, SQL_ACTIVITY_NAME) == 0)
		run_statement(call);
	else
		call_function(call);
	check_payload_size_of_hub(call->result, "result of the activity", call->task_hub, call->max_payload_size);
}
