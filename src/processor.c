/*
 * processor.c
 *		What the kernel tells of this process: see processor.h.
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "miscadmin.h"

#include "processor.h"

/* Of Linux: "<ns run> <ns waited> <times run>". */
#define SCHEDSTAT "/proc/self/schedstat"

/* Opened once; -1: there is none. */
static int
schedstat_file(void)
{
	static int	file = -1;
	static int	opened_by = 0;

	if (opened_by != MyProcPid)
	{
		opened_by = MyProcPid;
		file = open(SCHEDSTAT, O_RDONLY | O_CLOEXEC);
	}
	return file;
}

int64
processor_waited(void)
{
	char		line[64];
	int			file = schedstat_file();
	ssize_t		length = file < 0 ? -1 : pread(file, line, sizeof(line) - 1, 0);
	char	   *rest;

	if (length <= 0)
		return 0;
	line[length] = '\0';
	(void) strtoull(line, &rest, 10);
	return (int64) (strtoull(rest, NULL, 10) / 1000);
}
