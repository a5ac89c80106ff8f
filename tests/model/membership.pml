/* Changes of the members of one log (docs/log-protocol.md, "Membership"), checked by spin:
 * docs/testing.md.
 *
 * Four nodes, three of which are members at first. With -DFOUNDING none is, and candidates are
 * told any three as seeds; with -DBEGUN an earlier leader has told one node of a change. TERMS
 * terms; each leader makes at most CHANGES changes and UNITS units. What makes the state space
 * small, and why nothing is lost by it:
 *
 * - Messages are not stored, as in elections.pml: whatever a candidate or leader of a term may ever
 *   have sent can arrive at any time in any order, any number of times, or never.
 * - Terms take turns. An acceptor's steps are in the order of terms already, and nothing that is
 *   done in a term depends on what is done in a higher one, but that it may be prevented. So for
 *   every run there is one in which each node does, says and keeps the same, where all steps of
 *   term 1 come first, then those of term 2, and so on; and that a step may be left out takes care
 *   of what is prevented. That acceptors do keep to that order (fencing, flush before vote, crashes
 *   in the middle) is checked by elections.pml. While a term has its turn, no node leaves it, so
 *   what a leader knows by acknowledgements is what those nodes are: ACK, HOLD.
 * - A log is a sequence of terms. A leader's own begin, in the code an entry of the history, is an
 *   element like a unit: who has it has adopted the entry and has reached its offset.
 * - What an acceptor has said, it has made durable; what a crash loses is as if it had never come.
 *   A restarted node waits for another Elected, which may come at any time. A lost disk is a node
 *   that is silent for good; under its new disk id it is another node.
 * - Votes that do not reach the candidate, or do not make it win, are left out: they only prevent.
 * - Of terms that are over, there remain the configurations, lowest first, with which a candidate
 *   could still be elected (kold, knew), what was committed (longest_log), and leases that may be
 *   valid. An acceptor's `conf` is the number of those configurations that are below its own. Of
 *   two with the same members the lower is dropped: whoever votes for it votes for the higher, too.
 * - Nodes are interchangeable: sorted after each step, with all that names them.
 *
 * Which functions are meant:
 *
 *   KNOW, FOUND    proposer_conf_see, proposer_conf_found
 *   QUORUM         conf_quorum_value
 *   VOTE           acceptor_vote, acceptor_conf_admits, acceptor_conf_vote
 *   elect()        proposer_check_votes, conf_restamp, proposer_choose_donor, proposer_lead
 *   ELECTED        acceptor_elected, acceptor_adopt, acceptor_conf_elected
 *   CONFIG         acceptor_config
 *   APPEND         acceptor_append
 *   count_acks()   proposer_update_commit
 *   CHANGE         proposer_replace, change_to_joint
 *   FINISH         proposer_conf_step, conf_may_settle (but for the snapshots that a founding
 *                  configuration waits for: that only prevents)
 *
 * Checked: I1 (-DRIVAL) no two are elected in one term, whatever configurations they know. I3 what
 * is committed is in the log of every later leader: so no two disjoint quorums act. I7 what is
 * counted is the leader's log. I8 follows from I1: a leader alone makes the configurations of its
 * term, each of them once. I9 (-DLEASES) who is elected has a voter who has renewed any older
 * leader's lease, or has accepted an append of a later leader since, or that lease is over.
 *
 * Mutations, each a -D flag: MUT_JOINT_OLD_ONLY, MUT_JOINT_NEW_ONLY (a joint configuration counts
 * one set), MUT_NO_JOINT (from old to new at once), MUT_FINISH_OLD, MUT_FINISH_NEW, MUT_FINISH_LOG,
 * MUT_FINISH_TERM (a change ends although no majority of the old members holds the joint
 * configuration; none of the new ones does; none of the new ones has what was committed; they stand
 * at its offset, but did not say so in this term), MUT_FINISH_LEASE, MUT_FINISH_SAFE (no lease of
 * after the change began; not past safe_at), MUT_CHANGE_UNCOMMITTED (a change begins before
 * anything is committed in its term), MUT_NO_RESTAMP, MUT_VOTE_LOWER (an acceptor votes for a
 * candidate whose configuration is below its own), MUT_EMPTY_DISK (a member comes back empty under
 * its disk id), MUT_FOUND_MAJORITY (a majority founds a log). */
#ifndef TERMS
#define TERMS 3
#endif
#ifndef UNITS
#define UNITS 0
#endif
#ifndef CHANGES
#define CHANGES 1
#endif
#define N 4
#define ALL 15
#define FIRST_MEMBERS 7
/* The number of the invariant comes with the assertion, so that its failure tells it. */
#define INVARIANT(i, cond) assert((cond) || i == 0)

/* Four bits for each element of a log: its term. */
#define AT(x, i) (((x) >> (4 * (i))) & 15)
#define PUT(x, i, v) x = ((x) & ~(15 << (4 * (i)))) | ((v) << (4 * (i)))
#define FRONT(x, n) ((x) & ((1 << (4 * (n))) - 1))

/* Sets of nodes are masks; each set of members has three. */
#define BIT(a) (1 << (a))
#define MAJORITY(set, who) (((set) & (who) & (((set) & (who)) - 1)) != 0)
#define EVERY(set, who) (((set) & ~(who)) == 0)

/* Configurations of the leader whose turn it is are above all earlier ones. Within a term, the
 * generation counts these: founding, stable, joint, stable, joint, stable. The present one counts
 * from the moment it is made. */
#define FOUNDING_STAGE 0
#define IS_JOINT(stage) ((stage) == 2 || (stage) == 4)
#define STAGES (1 + 2 * CHANGES)
#define OURS(stage) (16 + (stage))
#define IS_OURS(conf) ((conf) >= 16)
#if CHANGES > 1
#define M2 m2
#else
#define M2 m1
#endif
#define OLD_OF(stage) ((stage) < 3 -> m0 : ((stage) < 5 -> m1 : M2))
#define NEW_OF(stage) ((stage) < 2 -> m0 : ((stage) < 4 -> m1 : M2))

#ifdef MUT_FOUND_MAJORITY
#define IS_FOUNDED(set, who) MAJORITY(set, who)
#else
#define IS_FOUNDED(set, who) EVERY(set, who)
#endif
#if defined(MUT_JOINT_OLD_ONLY)
#define ENOUGH(old, new, who) MAJORITY(old, who)
#elif defined(MUT_JOINT_NEW_ONLY)
#define ENOUGH(old, new, who) MAJORITY(new, who)
#else
#define ENOUGH(old, new, who) (MAJORITY(old, who) && MAJORITY(new, who))
#endif
/* new == 0: founding */
#define QUORUM(old, new, who) ((new) == 0 -> IS_FOUNDED(old, who) : ENOUGH(old, new, who))
#define NEW_OR_0(stage) ((stage) == FOUNDING_STAGE -> 0 : NEW_OF(stage))
#define IS_QUORUM(who) QUORUM(OLD_OF(stage), NEW_OR_0(stage), who)

#define IDLE 0
#define VOTING 1
#define LEADING 2
#ifdef LEASES
#define IN_OFFICE (phase == LEADING && now < TERMS) /* I9 speaks of elections */
#else
#define IN_OFFICE (phase == LEADING)
#endif

/* Acceptors, durable. */
byte conf[N];
byte size[N];
int log[N];
bit voted[N]; /* its term is the one whose turn it is */
#ifdef LEASES
byte stamp[N]; /* memory: term of the last accepted append. A restart only helps: t_acc = now. */
byte sent[N];  /* it accepted an append of this term: 1; and under the present configuration: 2 */
#endif

/* The candidate or leader whose turn it is. */
byte now;
byte phase;
byte known; /* VOTING: what of K it goes by, + 1; 0: it founds */
byte voters;
#ifdef RIVAL
bit rival;
byte rknown;
byte rvoters;
byte r0, r1;
#endif
byte first; /* the stage of the configuration that it found */
byte stage; /* of the present one */
byte m0, m1; /* members in 1; in 3 */
#if CHANGES > 1
byte m2; /* in 5 */
#endif
byte begin;  /* its own element is at this place */
byte llen;
int llog;    /* VOTING: the best voter's */
byte commit;
byte before; /* joint: what was committed when it was made */

/* What remains of the past. */
#define KMAX 12
byte kcount;
byte kold[KMAX], knew[KMAX];
byte longest;
int longest_log;
#ifdef LEASES
byte lold[TERMS + 1], lnew[TERMS + 1]; /* members, of those that renewed a leader's lease */
#endif
#ifdef MUT_EMPTY_DISK
bit wiped;
#endif

/* Scratch, zero between steps: no part of the state. Breadth-first search, which finds the shortest
 * trail, knows no hidden variables. */
#ifdef BREADTH_FIRST
#define SCRATCH
#else
#define SCRATCH hidden
#endif
SCRATCH byte i, j, k, n, who, yes;
SCRATCH int x, y;

/* What the leader knows of a node by its answers of this term, after Elected. */
#define ACK(a, least) (IS_OURS(conf[a]) && size[a] >= (least))
#define ACKED(least) (ACK(0, least) + 2 * ACK(1, least) + 4 * ACK(2, least) + 8 * ACK(3, least))
#define HOLD(a) (conf[a] == OURS(stage))
#define HOLDERS (HOLD(0) + 2 * HOLD(1) + 4 * HOLD(2) + 8 * HOLD(3))

/* The commit offset: what a quorum has acknowledged, at or past the term's begin. */
inline count_acks()
{
    n = llen;
    do
    :: n > commit && n > begin ->
        who = ACKED(n);
        if
        :: IS_QUORUM(who) -> commit = n; break
        :: else -> n--
        fi
    :: else -> break
    od;
    if
    :: commit > longest ->
        INVARIANT(3, FRONT(llog, longest) == longest_log);
        longest = commit;
        longest_log = FRONT(llog, commit)
    :: else
    fi
}

inline swap(p, q)
{
    x = p; p = q; q = x
}

inline swap_bits(set, a, b)
{
    set = (set & ~(BIT(a) | BIT(b))) | (((set >> a) & 1) << b) | (((set >> b) & 1) << a)
}

/* A number by which nodes are sorted. */
inline rank(a, out)
{
    out = ((voted[a] << 5 | conf[a]) << 3 | size[a]) << 8 | ((voters >> a) & 1) << 7 |
          ((m0 >> a) & 1) << 6 | ((m1 >> a) & 1) << 5;
    k = 0;
    do
    :: k < kcount ->
        out = (out ^ (((kold[k] >> a) & 1) << 4)) * 3 ^ (((knew[k] >> a) & 1) << 6);
        k++
    :: else -> break
    od;
    out = out ^ log[a] * 77;
#ifdef RIVAL
    out = out ^ ((rvoters >> a) & 1) << 20 ^ ((r0 >> a) & 1) << 21 ^ ((r1 >> a) & 1) << 22;
#endif
#ifdef LEASES
    out = out ^ stamp[a] << 24;
#endif
}

inline order(a, b)
{
    rank(a, x);
    rank(b, y);
    if
    :: x > y ->
        swap(conf[a], conf[b]);
        swap(size[a], size[b]);
        swap(log[a], log[b]);
        swap(voted[a], voted[b]);
        swap_bits(voters, a, b);
        swap_bits(m0, a, b);
        swap_bits(m1, a, b);
#if CHANGES > 1
        swap_bits(m2, a, b);
#endif
        k = 0;
        do
        :: k < kcount ->
            swap_bits(kold[k], a, b);
            swap_bits(knew[k], a, b);
            k++
        :: else -> break
        od;
#ifdef RIVAL
        swap_bits(rvoters, a, b);
        swap_bits(r0, a, b);
        swap_bits(r1, a, b);
#endif
#ifdef LEASES
        swap(stamp[a], stamp[b]);
        swap(sent[a], sent[b]);
        k = 1;
        do
        :: k <= TERMS ->
            swap_bits(lold[k], a, b);
            swap_bits(lnew[k], a, b);
            k++
        :: else -> break
        od;
#endif
    :: else
    fi
}

#ifdef LEASES
/* A lease of a leader that is out, renewed by nodes of `who` only. */
#define IS_LEASE(old, new, who)                                                                    \
    ((new) == 0 -> (old) != 0 && ((old) & ~(who)) == 0 : ENOUGH(old, new, who))
#endif

/* Sorts. */
inline norm()
{
    order(0, 1);
    order(2, 3);
    order(0, 2);
    order(1, 3);
    order(1, 2);
    i = 0; j = 0; k = 0; n = 0; who = 0; yes = 0; x = 0; y = 0
}

/* --- candidates ----------------------------------------------------------------------------- */

/* Goes by K[of], which some HELLO told it of. */
#define KNOW(of)                                                                                   \
    ::d_step                                                                                       \
    {                                                                                              \
        phase == IDLE && of < kcount ->                                                            \
        phase = VOTING;                                                                            \
        known = of + 1;                                                                            \
        m0 = kold[of];                                                                             \
        m1 = (knew[of] == kold[of] -> 0 : knew[of]);                                               \
        first = (knew[of] == 0 -> FOUNDING_STAGE : (m1 == 0 -> 1 : 2));                            \
        stage = first;                                                                             \
        norm()                                                                                     \
    }
#ifdef FOUNDING
#define FOUND(seeds)                                                                               \
    ::d_step                                                                                       \
    {                                                                                              \
        phase == IDLE ->                                                                           \
        phase = VOTING;                                                                            \
        m0 = seeds;                                                                                \
        norm()                                                                                     \
    }
#else
#define FOUND(seeds)
#endif

/* Votes only by a configuration that is not below its own, and as a member of it. One that was
 * never told of any votes for a founding one, too. */
#ifdef MUT_VOTE_LOWER
#define IS_ADMITTED(a, by) true
#else
#define IS_ADMITTED(a, by) (by > 0 -> conf[a] < by : conf[a] == 0 && size[a] == 0)
#endif

/* Elected: it has the log of the most advanced voter, and restamps the configuration. */
inline elect()
{
    phase = LEADING;
#ifndef MUT_NO_RESTAMP
    known = 0;
#endif
#ifdef LEASES
    n = 0; /* the latest append that a voter has accepted: of this term */
    i = 0;
    do
    :: i < N ->
        n = ((voters & BIT(i)) && stamp[i] > n -> stamp[i] : n);
        i++
    :: else -> break
    od;
    i = 1;
    do
    :: i < now ->
        INVARIANT(9, n > i || !IS_LEASE(lold[i], lnew[i], ~voters));
        i++
    :: else -> break
    od;
#endif
    voters = 0;
    begin = llen;
    INVARIANT(3, llen >= longest && FRONT(llog, longest) == longest_log);
    PUT(llog, llen, now);
    llen++
}

#define VOTE(a)                                                                                    \
    ::d_step                                                                                       \
    {                                                                                              \
        phase == VOTING && !voted[a] && ((m0 | m1) & BIT(a)) && IS_ADMITTED(a, known) ->           \
        voted[a] = 1;                                                                              \
        voters = voters | BIT(a);                                                                  \
        x = (size[a] -> AT(log[a], size[a] - 1) : 0);                                              \
        y = (llen -> AT(llog, llen - 1) : 0);                                                      \
        if                                                                                         \
        :: x > y || (x == y && size[a] > llen) ->                                                  \
            llog = log[a];                                                                         \
            llen = size[a]                                                                         \
        :: else                                                                                    \
        fi;                                                                                        \
        if                                                                                         \
        :: IS_QUORUM(voters) -> elect(); CHECK_RIVAL                                               \
        :: else                                                                                    \
        fi;                                                                                        \
        norm()                                                                                     \
    }

#ifdef RIVAL
/* Another candidate of the same term, by a configuration of its own; of no effect but its votes. */
#define RIVAL_WINS (rival && QUORUM(r0, r1, rvoters))
#define CHECK_RIVAL INVARIANT(1, !RIVAL_WINS);
#define KNOW_RIVAL(of)                                                                             \
    ::d_step                                                                                       \
    {                                                                                              \
        !rival && of < kcount ->                                                                   \
        rival = 1;                                                                                 \
        rknown = of + 1;                                                                           \
        r0 = kold[of];                                                                             \
        r1 = knew[of];                                                                             \
        norm()                                                                                     \
    }
#ifdef FOUNDING
#define FOUND_RIVAL(seeds)                                                                         \
    ::d_step                                                                                       \
    {                                                                                              \
        !rival ->                                                                                  \
        rival = 1;                                                                                 \
        r0 = seeds;                                                                                \
        norm()                                                                                     \
    }
#else
#define FOUND_RIVAL(seeds)
#endif
#define VOTE_RIVAL(a)                                                                              \
    ::d_step                                                                                       \
    {                                                                                              \
        rival && !voted[a] && ((r0 | r1) & BIT(a)) && IS_ADMITTED(a, rknown) ->                    \
        voted[a] = 1;                                                                              \
        rvoters = rvoters | BIT(a);                                                                \
        INVARIANT(1, !RIVAL_WINS || phase != LEADING);                                             \
        norm()                                                                                     \
    }
#else
#define CHECK_RIVAL
#define KNOW_RIVAL(of)
#define FOUND_RIVAL(seeds)
#define VOTE_RIVAL(a)
#endif

/* --- acceptors, told by the leader ---------------------------------------------------------- */

#define IS_PREFIX(a) (size[a] <= llen && log[a] == FRONT(llog, size[a]))

/* Cut to what is common; then history and configuration are adopted. An Elected of an earlier stage
 * may come late. */
#define ELECTED(a, of)                                                                             \
    ::d_step                                                                                       \
    {                                                                                              \
        IN_OFFICE && WAS_MADE(of) && !IS_OURS(conf[a]) && IS_KNOWN(a, of) ->                       \
        voted[a] = 1;                                                                              \
        n = 0;                                                                                     \
        do                                                                                         \
        :: n < size[a] && n < llen && AT(log[a], n) == AT(llog, n) -> n++                          \
        :: else -> break                                                                           \
        od;                                                                                        \
        size[a] = n;                                                                               \
        log[a] = FRONT(log[a], n);                                                                 \
        conf[a] = OURS(of);                                                                        \
        count_acks();                                                                              \
        norm()                                                                                     \
    }
#ifdef MUT_NO_JOINT
#define WAS_MADE(of) (first <= of && of <= stage && !IS_JOINT(of))
#else
#define WAS_MADE(of) (first <= of && of <= stage)
#endif
#ifdef MUT_NO_RESTAMP
#define IS_KNOWN(a, of) (of > first || conf[a] < known)
#else
#define IS_KNOWN(a, of) true
#endif

#define CONFIG(a, of)                                                                              \
    ::d_step                                                                                       \
    {                                                                                              \
        IN_OFFICE && WAS_MADE(of) && IS_OURS(conf[a]) && conf[a] < OURS(of) ->                     \
        conf[a] = OURS(of);                                                                        \
        norm()                                                                                     \
    }

/* One element, flushed. The leader's next unit is made up when it is needed. In the code some
 * elements come with Elected, so a lease is only renewed by HEARTBEAT. */
#define APPEND(a)                                                                                  \
    ::d_step                                                                                       \
    {                                                                                              \
        IN_OFFICE && IS_OURS(conf[a]) && (size[a] < llen || llen <= begin + UNITS) ->              \
        INVARIANT(7, IS_PREFIX(a));                                                                \
        if                                                                                         \
        :: size[a] == llen -> PUT(llog, llen, now); llen++                                         \
        :: else                                                                                    \
        fi;                                                                                        \
        PUT(log[a], size[a], AT(llog, size[a]));                                                   \
        size[a]++;                                                                                 \
        count_acks();                                                                              \
        norm()                                                                                     \
    }

#ifdef LEASES
#define STAMP(a)                                                                                   \
    stamp[a] = now;                                                                                \
    sent[a] = NEWEST;
#define NEWEST (IS_JOINT(stage) || stage == FOUNDING_STAGE -> 2 : 1)
#define RENEWED(least)                                                                             \
    ((sent[0] >= (least)) + 2 * (sent[1] >= (least)) + 4 * (sent[2] >= (least)) +                  \
     8 * (sent[3] >= (least)))
#define PRESENT_IS_PAST                                                                            \
    sent[0] = (sent[0] > 0); sent[1] = (sent[1] > 0);                                              \
    sent[2] = (sent[2] > 0); sent[3] = (sent[3] > 0);
#define HEARTBEAT(a)                                                                               \
    ::d_step                                                                                       \
    {                                                                                              \
        IN_OFFICE && IS_OURS(conf[a]) && sent[a] < NEWEST ->                                       \
        STAMP(a)                                                                                   \
        norm()                                                                                     \
    }
#else
#define STAMP(a)
#define PRESENT_IS_PAST
#define HEARTBEAT(a)
#endif

/* --- the leader changes the members --------------------------------------------------------- */

#ifdef MUT_CHANGE_UNCOMMITTED
#define HAS_COMMITTED true
#else
#define HAS_COMMITTED (commit > begin)
#endif
/* The change before is known to a quorum. */
#define IS_SETTLED (stage == 1 || (stage == 3 && IS_QUORUM(HOLDERS)))
#ifdef MUT_NO_JOINT
#define NEXT_STAGE (stage + 2)
#else
#define NEXT_STAGE (stage + 1)
#endif
#if CHANGES > 1
#define SET_MEMBERS(set)                                                                           \
    if                                                                                             \
    :: stage == 1 -> m1 = set                                                                      \
    :: else -> m2 = set                                                                            \
    fi
#else
#define SET_MEMBERS(set) m1 = set
#endif

/* Member a is replaced by the node that is none. */
#define CHANGE(a)                                                                                  \
    ::d_step                                                                                       \
    {                                                                                              \
        IN_OFFICE && HAS_COMMITTED && stage < STAGES && IS_SETTLED &&                              \
            (OLD_OF(stage) & BIT(a)) ->                                                            \
        n = (OLD_OF(stage) ^ BIT(a)) | (ALL & ~OLD_OF(stage));                                     \
        SET_MEMBERS(n);                                                                            \
        stage = NEXT_STAGE;                                                                        \
        PRESENT_IS_PAST                                                                            \
        before = commit;                                                                           \
        count_acks();                                                                              \
        norm()                                                                                     \
    }

/* 4.1: a majority of the old members, and one of the new, holds the joint configuration. */
#if defined(MUT_FINISH_OLD)
#define HOLD_IT MAJORITY(NEW_OF(stage), HOLDERS)
#elif defined(MUT_FINISH_NEW)
#define HOLD_IT MAJORITY(OLD_OF(stage), HOLDERS)
#else
#define HOLD_IT IS_QUORUM(HOLDERS)
#endif
/* 4.2: they have what was committed, as they said in this term. */
#define POSITION (before > begin -> before : begin + 1)
#define HAS(a) (size[a] >= POSITION) /* by offset, whatever the log */
#if defined(MUT_FINISH_LOG)
#define HAVE_IT true
#elif defined(MUT_FINISH_TERM)
#define HAVE_IT IS_QUORUM(HAS(0) + 2 * HAS(1) + 4 * HAS(2) + 8 * HAS(3))
#else
#define HAVE_IT IS_QUORUM(ACKED(POSITION))
#endif
/* 4.3: the leader has a lease of after the joint configuration was made, and all older ones are
 * over. */
#if defined(LEASES) && !defined(MUT_FINISH_LEASE)
#define RENEWED_IT IS_QUORUM(RENEWED(2))
#else
#define RENEWED_IT true
#endif
#if defined(LEASES) && !defined(MUT_FINISH_SAFE)
#define FORGET_LEASES                                                                              \
    n = 1;                                                                                         \
    do                                                                                             \
    :: n < now -> lold[n] = 0; lnew[n] = 0; n++                                                    \
    :: else -> break                                                                               \
    od;
#else
#define FORGET_LEASES
#endif
#define FINISH                                                                                     \
    ::d_step                                                                                       \
    {                                                                                              \
        IN_OFFICE && (stage == FOUNDING_STAGE || IS_JOINT(stage)) && HOLD_IT && HAVE_IT &&         \
            RENEWED_IT ->                                                                          \
        FORGET_LEASES                                                                              \
        stage++;                                                                                   \
        PRESENT_IS_PAST                                                                            \
        before = 0;                                                                                \
        count_acks();                                                                              \
        norm()                                                                                     \
    }

#ifdef MUT_EMPTY_DISK
#define EMPTY_DISK(a)                                                                              \
    ::d_step                                                                                       \
    {                                                                                              \
        !wiped && size[a] > 0 ->                                                                   \
        wiped = 1;                                                                                 \
        voted[a] = 0;                                                                              \
        conf[a] = 0;                                                                               \
        log[a] = 0;                                                                                \
        size[a] = 0;                                                                               \
        norm()                                                                                     \
    }
#else
#define EMPTY_DISK(a)
#endif

/* --- the next term -------------------------------------------------------------------------- */

/* Forgets a configuration if nobody can be elected with it any more, or with a higher one whenever
 * with it. */
inline forget_confs()
{
    i = 0;
    do
    :: i < kcount ->
        who = (IS_ADMITTED(0, i + 1) + 2 * IS_ADMITTED(1, i + 1) + 4 * IS_ADMITTED(2, i + 1) +
               8 * IS_ADMITTED(3, i + 1));
        yes = !QUORUM(kold[i], knew[i], who);
        j = i + 1;
        do
        :: j < kcount -> yes = yes || (kold[i] == kold[j] && knew[i] == knew[j]); j++
        :: else -> break
        od;
        if
        :: yes ->
            kcount--;
            j = i;
            do
            :: j < kcount -> kold[j] = kold[j + 1]; knew[j] = knew[j + 1]; j++
            :: else -> break
            od;
            kold[kcount] = 0;
            knew[kcount] = 0;
            j = 0;
            do
            :: j < N -> conf[j] = (conf[j] > i -> conf[j] - 1 : conf[j]); j++
            :: else -> break
            od
        :: else -> i++
        fi
    :: else -> break
    od
}

#ifdef MUT_NO_RESTAMP
#define IS_OLD (known > 0)
#else
#define IS_OLD false
#endif
/* Some of the leader's may never have been sent. */
inline keep_confs()
{
    n = first; /* configurations of earlier terms are below */
    k = kcount;
    do
    :: phase == LEADING && n <= stage ->
        if
        :: WAS_MADE(n) && !(n == first && IS_OLD) ->
            kold[kcount] = OLD_OF(n);
            knew[kcount] = NEW_OR_0(n);
            kcount++
        :: else
        fi;
        i = 0;
        do
        :: i < N ->
            if
            :: conf[i] == OURS(n) -> conf[i] = (n == first && IS_OLD -> known - 1 : kcount - 1)
            :: else
            fi;
            i++
        :: else -> break
        od;
        n++
    :: else -> break
    od
}

#ifdef LEASES
inline keep_lease()
{
    if
    :: phase == LEADING && IS_QUORUM(RENEWED(1)) ->
        lold[now] = OLD_OF(stage) & RENEWED(1);
        lnew[now] = NEW_OR_0(stage) & RENEWED(1)
    :: else
    fi;
    i = 0;
    do
    :: i < N ->
        sent[i] = 0;
        j = stamp[i]; /* what matters is which lease's leader comes before */
        do
        :: j > 1 && lold[j - 1] == 0 -> j--
        :: else -> break
        od;
        stamp[i] = (j > 1 -> j : 0);
        i++
    :: else -> break
    od
}
#else
#define keep_lease()
#endif

#define NEXT_TERM                                                                                  \
    ::d_step                                                                                       \
    {                                                                                              \
        now < TERMS ->                                                                             \
        keep_lease();                                                                              \
        keep_confs();                                                                              \
        voted[0] = 0; voted[1] = 0; voted[2] = 0; voted[3] = 0;                                    \
        phase = IDLE;                                                                              \
        known = 0; voters = 0; first = 0; stage = 0; m0 = 0; m1 = 0; before = 0;                   \
        CLEAR_M2                                                                                   \
        begin = 0; llen = 0; llog = 0; commit = 0;                                                 \
        CLEAR_RIVAL                                                                                \
        now++;                                                                                     \
        forget_confs();                                                                            \
        norm()                                                                                     \
    }
#if CHANGES > 1
#define CLEAR_M2 m2 = 0;
#else
#define CLEAR_M2
#endif
#ifdef RIVAL
#define CLEAR_RIVAL rival = 0; rknown = 0; rvoters = 0; r0 = 0; r1 = 0;
#else
#define CLEAR_RIVAL
#endif

#define ANY_CONF(step)                                                                             \
    step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10)       \
    step(11)
#define ANY_SEEDS(step) step(7) step(11) step(13) step(14)
#if CHANGES > 1
#define ANY_STAGE(step, a) step(a, 0) step(a, 1) step(a, 2) step(a, 3) step(a, 4) step(a, 5)
#else
#define ANY_STAGE(step, a) step(a, 0) step(a, 1) step(a, 2) step(a, 3)
#endif
#define STEPS(a)                                                                                   \
    VOTE(a) VOTE_RIVAL(a) ANY_STAGE(ELECTED, a) ANY_STAGE(CONFIG, a) APPEND(a) HEARTBEAT(a)        \
    CHANGE(a) EMPTY_DISK(a)

active proctype world()
{
    d_step
    {
        now = 1;
#ifndef FOUNDING
        kold[0] = FIRST_MEMBERS;
        knew[0] = FIRST_MEMBERS;
        kcount = 1;
#endif
#ifdef BEGUN
        kold[1] = FIRST_MEMBERS;
        knew[1] = ALL ^ BIT(2);
        kcount = 2;
        conf[0] = 1;
#endif
        norm()
    }
end:
    do
    ANY_CONF(KNOW)
    ANY_CONF(KNOW_RIVAL)
    ANY_SEEDS(FOUND)
    ANY_SEEDS(FOUND_RIVAL)
    STEPS(0)
    STEPS(1)
    STEPS(2)
    STEPS(3)
    FINISH
    NEXT_TERM
    od
}
