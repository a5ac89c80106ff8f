/* Commands whose replies through Holdfast must be those of a plain Redis, byte for byte. They run
 * in this order on an empty database. One a line, arguments separated by blanks; "..." for an
 * argument with blanks or none at all. Nothing here depends on time or chance. */
#ifndef TESTS_SYSTEM_COMMANDS_H
#define TESTS_SYSTEM_COMMANDS_H

/* Runs `visit` for each command of the list. */
void commands_each(void (*visit)(const char *line, const char *const argv[], void *arg), void *arg);

#endif
