/* What the files of the faults share: faults.c (which there are and when; processes, network,
 * members) and faults_disk.c. */
#ifndef TESTS_SIM_FAULTS_IMPL_H
#define TESTS_SIM_FAULTS_IMPL_H

#include "tests/sim/faults.h"
#include "tests/sim/world.h"

/* The steps of scenes, as arg of EVENT_SCENE; value says whom they are about. */
enum fault_scene {
    SCENE_HEAL,         /* all partitions end */
    SCENE_SLOW_2,       /* leader value, whose answers came late, is isolated */
    SCENE_CALM,         /* nobody is in a hurry any more */
    SCENE_RESUME,       /* process value goes on, unless it is to sleep longer */
    SCENE_WAKE,         /* … in any case */
    SCENE_PAUSE_KILL_2, /* the others have gone on without node value for a while */
    SCENE_LONELY_2,     /* the lonely leader value is gone; the node that had heard it comes back */
    SCENE_SPACE,        /* node value has space again */
    SCENE_PUT_BACK,     /* the old file */
};

void faults_later(struct world *w, uint64_t delay_ns, enum fault_scene scene, uint64_t value);
/* Evenly over the orders of magnitude. */
uint64_t faults_log_uniform(struct world *w, uint64_t low, uint64_t high);

/* Any log node; one of those that may be damaged in this run. */
unsigned faults_node(struct world *w);
unsigned faults_victim(struct world *w);
/* What a disk loses of what was not synced, and when a process is started again. */
enum fake_disk_loss faults_loss(struct world *w);
uint64_t faults_back(struct world *w);
void faults_kill_node(struct world *w, unsigned node, enum fake_disk_loss loss, uint64_t back_ns);
/* Until a quorum knows that the log is founded, every node is needed. */
bool faults_may_lose(struct world *w);

/* ---- faults_disk.c ---- */

/* An operation of the next few fails; dies: and the node with it. */
void faults_disk(struct world *w, bool dies);
void faults_no_space(struct world *w);
void faults_slow_sync(struct world *w);
void faults_read_eio(struct world *w);
void faults_bad_sector(struct world *w);
void faults_bit_flip(struct world *w, unsigned node);
/* The same, of a victim that may have been killed for it. */
void faults_damage(struct world *w);
/* A copy of a file is taken; SCENE_PUT_BACK: it comes back. */
void faults_old_file(struct world *w);
void faults_put_back(struct world *w);
void faults_empty_disk(struct world *w);

#endif
