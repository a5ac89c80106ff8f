/* The rules of the log protocol that scripts/mutants breaks on purpose, one at a time, to see
 * whether the simulator notices (docs/testing.md, "Mutants"). Built with
 * -DHOLDFAST_MUTANT=MUTANT_VOTE_GE the first one is broken; built as always, MUTANT(…) is a
 * constant 0 and nothing is left of it.
 *
 * Each is a mistake that somebody made: the reasons stand where the rule does. */
#ifndef LOGSVC_MUTANT_H
#define LOGSVC_MUTANT_H

enum mutant {
    MUTANT_NONE,
    MUTANT_VOTE_GE,              /* a term is granted twice */
    MUTANT_ACK_BEFORE_FLUSH,     /* appends are acknowledged, then made durable */
    MUTANT_ADOPT_FIRST,          /* the history is adopted before the log is cut */
    MUTANT_NO_FLUSH_BEFORE_VOTE, /* what was appended becomes durable after the vote */
    MUTANT_DONOR_BY_FLUSH,       /* the longest log wins, of whatever term */
    MUTANT_NO_TERM_START,        /* bytes of older terms are committed by counting (figure 8) */
    MUTANT_UNFENCED_READ,        /* a candidate reads from nodes that promised a later term */
    MUTANT_RECEIVE_TIME,         /* the lease begins when the answer comes */
    MUTANT_NO_RESTART_RULE,      /* a node that has restarted says that it renewed no lease */
    MUTANT_RELEASE_ANY_TERM, /* the leader of an older term gives the present one's lease back */
    MUTANT_RELEASE_EARLY,    /* a leader that waits for older leases gives them back */
    MUTANT_CUT_ANY_BAD,      /* whatever is bad at the log's end is taken for a torn write */
    MUTANT_OLD_ACKS,         /* acknowledgements of older sessions and terms count */
    MUTANT_JOINT_ONE_SET,    /* a joint configuration is judged by its new set alone */
    MUTANT_SYNC_WEAKENED,    /* who reads what a client without waiting wrote does not wait */
    MUTANT_TRIM_UNPROVEN,    /* one node's snapshot is a quorum's; nobody looks for its own */
    MUTANT_TRIM_NEWEST,      /* the newest snapshot makes a trim good, verified or not */
    MUTANT_SNAP_UNVERIFIED,  /* a snapshot that nobody has verified counts */
    MUTANT_SNAP_UNCHECKED,   /* what was received is stored, whatever its checksum */
    MUTANT_SNAP_ROTTEN,      /* chunks are handed out unchecked */
    MUTANT_SNAP_UNSYNCED,    /* a snapshot is named before its bytes are durable */
    MUTANT_SNAP_MIXED,       /* pieces of any upload continue the one that has begun */
    MUTANT_SNAP_TAKEN_OVER,  /* a second uploader throws out the first one */
    MUTANT_SEGMENT_UNSYNCED, /* a segment that is written anew takes the old one's place before
                                its bytes are durable */
};

#ifndef HOLDFAST_MUTANT
#define HOLDFAST_MUTANT MUTANT_NONE
#endif

#define MUTANT(name) (HOLDFAST_MUTANT == MUTANT_##name)

#endif
