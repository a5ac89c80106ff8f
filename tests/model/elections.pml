/* Elections, truncation and commit of one log (docs/log-protocol.md, 5 and 6), checked by
 * spin: docs/testing.md.
 *
 * N = 3 acceptors; TERMS terms; logs of at most LEN units. One process takes one step after another,
 * so nothing but the steps below is to be believed. What makes the state space small, and why
 * nothing is lost by it:
 *
 * - Proposers. Each term has a candidate of its own and a rival that campaigns with the same term.
 *   Nobody is told apart across terms: that allows for more than two proposers can do (a proposer
 *   that is voted out goes on as leader of its old term), never for less. The one that is first to
 *   have a quorum is called the candidate; so all that matters of the rival is whether it gets a
 *   quorum, too (I1).
 * - Messages. None is stored. Whatever a candidate or leader of a term may ever have sent can arrive
 *   at any time, in any order, any number of times, or never: that is late, duplicated, lost and
 *   stale-session messages in one. Requests of a term are determined by the leader's log, which only
 *   grows; an Elected may bear any start offset, as the acceptor believes only its own.
 *   An answer changes nothing but the proposer. Answers that come later than they could are the
 *   same as a proposer that acts later, and all steps are free to come late or never. So a vote's
 *   answer is either merged at once or lost, and what a majority has acknowledged is committed at
 *   once, which is the strongest reading for I3.
 * - Appends carry one unit; longer ones are several of them. A leader makes up a unit when the first
 *   acceptor receives it; before that, nobody can tell.
 * - Acceptors handle one message at a time and say nothing in between, so a crash in the middle of
 *   an Elected is a step of its own with the outcome that is on disk then.
 * - Acceptors are interchangeable: their records are sorted after each step.
 * - What can have no effect any more (votes of a term that nobody can win, acknowledgements when the
 *   majority is beyond the term) is forgotten: norm().
 *
 * The byte at an offset is the term of the leader who made it up; that, with the offset, tells bytes
 * apart as long as I1 holds. What an acceptor says of its log comes from its history only; that the
 * history tells the truth about the bytes is checked (I2).
 *
 * Mutations, each a -D flag: MUT_VOTE_GE, MUT_NO_FLUSH_BEFORE_VOTE, MUT_LATE_ACK (with the former:
 * acknowledge to the old leader what is flushed after the vote), MUT_DONOR_BY_FLUSH,
 * MUT_ADOPT_FIRST, MUT_NO_TERM_START, MUT_UNFENCED_READ, MUT_ACK_UNFLUSHED.
 *
 * With -DTRIM, logs forget their begin as well (acceptor_trim, acceptor_rebase, proposer_trim,
 * trim_is_behind). Each acceptor has the offset of its newest verified snapshot (older ones may be
 * deleted; one that is not verified counts for nothing and is left out; the one that the log was
 * founded with is at 0) and the begin of its log. What is below the begin stays in `log` as a ghost,
 * for the checks alone: no step reads it. TRIM and REBASE are late, lost and doubled as all else: a
 * leader may have asked for any begin that it could ever have known. A log that is begun anew
 * claims what the snapshot has: all that is committed up to there. In addition to the others:
 * I15 from what any quorum holds the whole committed log can be had: a snapshot, and a log that
 *     begins at or below it and reaches to the end of what is committed.
 * Mutations: MUT_TRIM_ALONE, MUT_SNAPSHOT_UNCOMMITTED, MUT_REBASE_ANY, MUT_REBASE_UNTOLD,
 * MUT_REBASE_UNCOMMITTED, MUT_TRIM_UNTOLD; and MUT_TRIM_WITHOUT, with which nothing fails. */
#ifndef TERMS
#define TERMS 3
#endif
#ifndef LEN
#define LEN 2
#endif
#define N 3
#define QUORUM 2
/* The number of the invariant comes with the assertion, so that its failure tells it. */
#define INVARIANT(i, cond) assert((cond) || i == 0)
#define NOT_FOUND 255

/* Four bits for each offset of a log (the byte there), or each term of a history (begin + 1), of
 * acknowledgements (flushed + 1) and of votes (the bits below); 0 is "none" in all of them. */
#define AT(x, i) (((x) >> (4 * (i))) & 15)
#define PUT(x, i, v) x = ((x) & ~(15 << (4 * (i)))) | ((v) << (4 * (i)))
#define FRONT(x, n) ((x) & ((1 << (4 * (n))) - 1))
#define OF(x, t) AT(x, (t)-1)
#define SET(x, t, v) PUT(x, (t)-1, v)

#define VOTE_MAIN 1  /* its vote counts for the candidate */
#define VOTE_DONOR 2 /* it is the most advanced of those so far */
#define VOTE_RIVAL 4

#define VOTING 0
#define ELECTED 1
#define LEADING 2
#define DEAD 3 /* no message of it can have an effect; what it committed is kept for I3 */

typedef acceptor {
    byte term;    /* durable */
    short hist;   /* durable */
    short log;    /* durable as far as flen */
    byte wlen;
    byte flen;
    bit elected;  /* memory: Elected of this term was accepted in this life */
    short vote;   /* ghost: to whom, by term */
    short ack;    /* ghost: the most that it acknowledged, by term */
#ifdef TRIM
    byte base;    /* durable: what is below is forgotten */
    byte snap;    /* durable: the newest verified snapshot */
#endif
};
typedef leader {
    byte phase;
    short hist;  /* the donor's; from LEADING on, with its own entry */
    short log;
    byte size;    /* VOTING, ELECTED: the donor's flushed offset */
    byte commit;
};
acceptor A[N];
leader L[TERMS + 1];

/* Scratch, zero between steps: no part of the state. Breadth-first search, which finds the shortest
 * trail, knows no hidden variables. */
#ifdef BREADTH_FIRST
#define SCRATCH
#else
#define SCRATCH hidden
#endif
SCRATCH byte k, u, v, x, y, e1, e2, cm, f, n, m, r, below, above, to, better;
SCRATCH short h;
#ifdef TRIM
SCRATCH byte kept; /* so much is committed, and this is it: */
SCRATCH short all;
#endif

/* The highest term of a history that begins at or below an offset; 0: none. */
inline last_term(history, off, out)
{
    out = 0;
    k = TERMS;
    do
    :: k > 0 ->
        if
        :: OF(history, k) && OF(history, k) - 1 <= off -> out = k; break
        :: else -> k--
        fi
    :: else -> break
    od
}

/* history_cut */
inline cut_history(history, off)
{
    k = TERMS;
    do
    :: k > 0 ->
        if
        :: OF(history, k) > off + 1 -> SET(history, k, 0)
        :: else
        fi;
        k--
    :: else -> break
    od
}

/* history_common: into cm. Equal terms at different offsets break I2. */
inline find_common(theirs, mine, end)
{
    cm = NOT_FOUND;
    e1 = 15;
    e2 = 15;
    k = TERMS;
    do
    :: k > 0 ->
        x = OF(theirs, k);
        y = OF(mine, k);
        if
        :: x && y ->
            INVARIANT(2, x == y);
            cm = end;
            if
            :: e1 < cm -> cm = e1
            :: else
            fi;
            if
            :: e2 < cm -> cm = e2
            :: else
            fi;
            break
        :: else ->
            if
            :: x -> e1 = x - 1
            :: else
            fi;
            if
            :: y -> e2 = y - 1
            :: else
            fi
        fi;
        k--
    :: else -> break
    od
}

inline count_votes(t, bit_, out)
{
    out = ((OF(A[0].vote, t) & (bit_)) != 0) + ((OF(A[1].vote, t) & (bit_)) != 0) +
          ((OF(A[2].vote, t) & (bit_)) != 0)
}

/* I3: what leader t has committed is in the log of every leader of a later term. */
inline check_committed(t)
{
    v = t + 1;
    do
    :: v <= TERMS ->
        INVARIANT(3, L[v].phase != LEADING ||
                         (L[v].size >= L[t].commit &&
                          FRONT(L[v].log, L[t].commit) == FRONT(L[t].log, L[t].commit)));
        v++
    :: else -> break
    od
}

/* What a counts for, for the commit of leader t: an acknowledgement at or past the term's begin. */
#ifdef MUT_NO_TERM_START
#define COUNTS(a, t, c) (OF(A[a].ack, t) > c)
#else
#define COUNTS(a, t, c) (OF(A[a].ack, t) > c && OF(A[a].ack, t) >= OF(L[t].hist, t))
#endif

/* a has flushed up to `upto` and says so to leader t; the leader commits what it can. */
inline acknowledge(a, t, upto)
{
    /* I7: what is counted is the leader's log, and nothing else. */
    INVARIANT(7, upto <= L[t].size && FRONT(A[a].log, upto) == FRONT(L[t].log, upto));
    if
    :: OF(A[a].ack, t) < upto + 1 -> SET(A[a].ack, t, upto + 1)
    :: else
    fi;
    m = LEN;
    do
    :: m > L[t].commit ->
        if
        :: COUNTS(0, t, m) + COUNTS(1, t, m) + COUNTS(2, t, m) >= QUORUM ->
            L[t].commit = m;
            check_committed(t);
            break
        :: else -> m--
        fi
    :: else -> break
    od
}

/* I6: of what is committed, nothing that a holds is cut at offset `at`; its own commit offset is
 * never higher than that. */
inline check_cut(a, at)
{
    u = 1;
    do
    :: u <= TERMS ->
        m = L[u].commit;
        do
        :: m > A[a].flen || FRONT(A[a].log, m) != FRONT(L[u].log, m) -> m--
        :: else -> break
        od;
        INVARIANT(6, at >= m);
        u++
    :: else -> break
    od
}

inline check_pair(log1, len1, log2, len2)
{
    m = LEN - 1;
    do
    :: m > 0 ->
        INVARIANT(2, m >= len1 || m >= len2 || AT(log1, m) != AT(log2, m) ||
                         FRONT(log1, m) == FRONT(log2, m));
        m--
    :: else -> break
    od
}

#ifdef TRIM
inline find_committed()
{
    kept = 0;
    all = 0;
    u = 1;
    do
    :: u <= TERMS ->
        if
        :: L[u].commit > kept -> kept = L[u].commit; all = FRONT(L[u].log, kept)
        :: else
        fi;
        u++
    :: else -> break
    od
}

/* Whether i or j has a snapshot from which the log of i leads to all that is committed. */
#define LEADS_ON(i, j)                                                                             \
    (A[i].flen >= kept && FRONT(A[i].log, kept) == all &&                                          \
     (A[i].base <= A[i].snap || A[i].base <= A[j].snap))

inline check_restorable()
{
    find_committed();
    INVARIANT(15, LEADS_ON(0, 1) || LEADS_ON(1, 0));
    INVARIANT(15, LEADS_ON(0, 2) || LEADS_ON(2, 0));
    INVARIANT(15, LEADS_ON(1, 2) || LEADS_ON(2, 1));
    /* I6: nothing that is not committed was forgotten. */
    INVARIANT(6, A[0].base <= kept && A[1].base <= kept && A[2].base <= kept);
    kept = 0;
    all = 0
}
#endif

/* After a step that changed a. */
inline check(a)
{
    n = 0;
    do
    :: n < A[a].wlen ->
        /* I4: terms do not fall along a log. */
        INVARIANT(4, n == 0 || AT(A[a].log, n) >= AT(A[a].log, n - 1));
        /* I2: the history says whose bytes they are. While a begin is being reset there is none,
         * and the acceptor claims nothing. */
        last_term(A[a].hist, n, x);
        INVARIANT(2, A[a].hist == 0 || x == AT(A[a].log, n));
        n++
    :: else -> break
    od;
    /* I2: same term at the same offset, same bytes up to there. */
    check_pair(A[a].log, A[a].wlen, A[(a + 1) % N].log, A[(a + 1) % N].wlen);
    check_pair(A[a].log, A[a].wlen, A[(a + 2) % N].log, A[(a + 2) % N].wlen);
    n = 1;
    do
    :: n <= TERMS ->
        if
        :: L[n].phase == LEADING -> check_pair(A[a].log, A[a].wlen, L[n].log, L[n].size)
        :: else
        fi;
        n++
    :: else -> break
    od;
#ifndef NO_I5
    /* I5: a vote says where the log ends. Between it and Elected, the log does not grow. */
    INVARIANT(5, A[a].term == 0 || OF(A[a].hist, A[a].term) != 0 || A[a].wlen == A[a].flen)
#endif
}

inline swap_short(p, q)
{
    h = p; p = q; q = h
}

inline swap_byte(p, q)
{
    f = p; p = q; q = f
}

#define IS_AFTER(i, j)                                                                             \
    (A[i].term != A[j].term -> A[i].term > A[j].term :                                             \
    (A[i].hist != A[j].hist -> A[i].hist > A[j].hist :                                             \
    (A[i].log != A[j].log -> A[i].log > A[j].log :                                                 \
    (A[i].flen != A[j].flen -> A[i].flen > A[j].flen :                                             \
    (A[i].wlen != A[j].wlen -> A[i].wlen > A[j].wlen :                                             \
    (A[i].elected != A[j].elected -> A[i].elected > A[j].elected :                                 \
    (A[i].vote != A[j].vote -> A[i].vote > A[j].vote : IS_AFTER_ACK(i, j))))))))
#ifdef TRIM
#define IS_AFTER_ACK(i, j)                                                                         \
    (A[i].ack != A[j].ack -> A[i].ack > A[j].ack :                                                 \
    (A[i].base != A[j].base -> A[i].base > A[j].base : A[i].snap > A[j].snap))
#else
#define IS_AFTER_ACK(i, j) (A[i].ack > A[j].ack)
#endif

inline order(i, j)
{
    if
    :: IS_AFTER(i, j) ->
        swap_byte(A[i].term, A[j].term);
        swap_short(A[i].hist, A[j].hist);
        swap_short(A[i].log, A[j].log);
        swap_byte(A[i].flen, A[j].flen);
        swap_byte(A[i].wlen, A[j].wlen);
        swap_byte(A[i].elected, A[j].elected);
        swap_short(A[i].vote, A[j].vote);
#ifdef TRIM
        swap_byte(A[i].base, A[j].base);
        swap_byte(A[i].snap, A[j].snap);
#endif
        swap_short(A[i].ack, A[j].ack)
    :: else
    fi
}

inline forget_votes(t, keep)
{
    SET(A[0].vote, t, OF(A[0].vote, t) & (keep));
    SET(A[1].vote, t, OF(A[1].vote, t) & (keep));
    SET(A[2].vote, t, OF(A[2].vote, t) & (keep))
}

inline forget_acks(t)
{
    SET(A[0].ack, t, 0);
    SET(A[1].ack, t, 0);
    SET(A[2].ack, t, 0)
}

#ifdef MUT_VOTE_GE
#define MAY_VOTE(a, t) (A[a].term <= t)
#else
#define MAY_VOTE(a, t) (A[a].term < t)
#endif

/* Forgets what can have no effect any more, and sorts. */
inline norm()
{
#ifdef TRIM
    check_restorable();
#endif
    u = 1;
    do
    :: u <= TERMS ->
        below = MAY_VOTE(0, u) + MAY_VOTE(1, u) + MAY_VOTE(2, u);
        above = (A[0].term > u) + (A[1].term > u) + (A[2].term > u);
        count_votes(u, VOTE_MAIN, m);
        count_votes(u, VOTE_RIVAL, r);
        if
        :: L[u].phase == VOTING && m + below < QUORUM ->
            forget_votes(u, 0);
            L[u].hist = 0;
            L[u].size = 0
        :: L[u].phase >= ELECTED && r + below < QUORUM ->
            forget_votes(u, VOTE_DONOR)
        :: else
        fi;
        if
        :: L[u].phase == ELECTED ->
#ifndef MUT_UNFENCED_READ
            count_votes(u, VOTE_DONOR, m);
            if
            :: (L[u].hist && m > 0 &&
                (OF(A[0].vote, u) & VOTE_DONOR) * (A[0].term > u) +
                (OF(A[1].vote, u) & VOTE_DONOR) * (A[1].term > u) +
                (OF(A[2].vote, u) & VOTE_DONOR) * (A[2].term > u) > 0) || above == N ->
                L[u].phase = DEAD; /* the donor's tail can't be read any more */
                L[u].hist = 0;
                L[u].size = 0;
                forget_votes(u, VOTE_RIVAL)
            :: else
            fi
#else
            skip
#endif
        :: L[u].phase == LEADING ->
            forget_votes(u, VOTE_RIVAL);
            if
            :: above > N - QUORUM ->
                forget_acks(u) /* it commits nothing any more */
            :: else
            fi;
            if
            :: above == N ->
                L[u].phase = DEAD;
                L[u].hist = 0;
                L[u].size = 0;
                L[u].log = FRONT(L[u].log, L[u].commit)
            :: else
            fi
        :: else
        fi;
        u++
    :: else -> break
    od;
    order(0, 1);
    order(1, 2);
    order(0, 1);
    k = 0; u = 0; v = 0; x = 0; y = 0; e1 = 0; e2 = 0; cm = 0; f = 0; n = 0; m = 0; r = 0;
    below = 0; above = 0; to = 0; better = 0; h = 0
}

/* A vote: flush first, then promise the term. */
inline grant(a, t)
{
#ifndef MUT_NO_FLUSH_BEFORE_VOTE
    A[a].flen = A[a].wlen;
#endif
    A[a].term = t;
    A[a].elected = 0
}


/* The candidate of t hears a's vote: the donor is the most advanced, log term first. */
inline merge_vote(a, t)
{
    f = A[a].flen;
    h = A[a].hist;
    cut_history(h, f);
    if
    :: h == 0 -> better = 0 /* empty */
    :: h != 0 && L[t].hist == 0 -> better = 1
    :: else ->
        last_term(h, f, x);
        last_term(L[t].hist, L[t].size, y);
#ifdef MUT_DONOR_BY_FLUSH
        better = f > L[t].size
#else
        better = (x > y || (x == y && f > L[t].size))
#endif
    fi;
    if
    :: better ->
        forget_votes(t, VOTE_MAIN | VOTE_RIVAL);
        L[t].hist = h;
        L[t].size = f;
        SET(A[a].vote, t, OF(A[a].vote, t) | VOTE_MAIN | VOTE_DONOR)
    :: else ->
        SET(A[a].vote, t, OF(A[a].vote, t) | VOTE_MAIN)
    fi;
    count_votes(t, VOTE_MAIN, m);
    count_votes(t, VOTE_RIVAL, r);
    if
    :: m >= QUORUM ->
        L[t].phase = ELECTED;
        INVARIANT(1, r < QUORUM)
    :: else
    fi
}

#define VOTE_FOR_CANDIDATE(a, t)                                                                   \
    ::d_step                                                                                       \
    {                                                                                              \
        MAY_VOTE(a, t) && L[t].phase == VOTING && !(OF(A[a].vote, t) & VOTE_MAIN) ->               \
        grant(a, t);                                                                               \
        merge_vote(a, t);                                                                          \
        check(a);                                                                                  \
        norm()                                                                                     \
    }

#define VOTE_FOR_RIVAL(a, t)                                                                       \
    ::d_step                                                                                       \
    {                                                                                              \
        MAY_VOTE(a, t) && !(OF(A[a].vote, t) & VOTE_RIVAL) ->                                      \
        grant(a, t);                                                                               \
        SET(A[a].vote, t, OF(A[a].vote, t) | VOTE_RIVAL);                                          \
        count_votes(t, VOTE_RIVAL, r);                                                             \
        INVARIANT(1, r < QUORUM || L[t].phase == VOTING);                                          \
        check(a);                                                                                  \
        norm()                                                                                     \
    }

#define VOTE_LOST(a, t)                                                                            \
    ::d_step                                                                                       \
    {                                                                                              \
        A[a].term < t ->                                                                           \
        grant(a, t);                                                                               \
        check(a);                                                                                  \
        norm()                                                                                     \
    }

#ifdef MUT_UNFENCED_READ
/* One that comes back shorter than it voted would be noticed (proposer_donor_is_gone). */
#define IS_DONOR(a, t) ((OF(A[a].vote, t) & VOTE_DONOR) && A[a].flen >= L[t].size)
#else
#define IS_DONOR(a, t) ((OF(A[a].vote, t) & VOTE_DONOR) && A[a].term == t)
#endif

/* The candidate has read the donor's log, fenced by its term, and begins its own at its end. */
#define LEAD(a, t)                                                                                 \
    ::d_step                                                                                       \
    {                                                                                              \
        L[t].phase == ELECTED && (L[t].hist == 0 || IS_DONOR(a, t)) ->                             \
        if                                                                                         \
        :: L[t].hist != 0 ->                                                                       \
            INVARIANT(2, A[a].flen >= L[t].size);                                                  \
            L[t].log = FRONT(A[a].log, L[t].size)                                                   \
        :: else                                                                                    \
        fi;                                                                                        \
        SET(L[t].hist, t, L[t].size + 1);                                                           \
        L[t].phase = LEADING;                                                                      \
        forget_votes(t, VOTE_RIVAL);                                                               \
        u = 1;                                                                                     \
        do                                                                                         \
        :: u < t -> check_committed(u); u++                                                        \
        :: else -> break                                                                           \
        od;                                                                                        \
        norm()                                                                                     \
    }

inline crash(a)
{
    A[a].elected = 0;
    A[a].wlen = A[a].flen;
    A[a].log = FRONT(A[a].log, A[a].flen)
}

inline truncate(a)
{
    check_cut(a, cm);
#ifdef TRIM
    INVARIANT(6, cm >= A[a].base);
#endif
    A[a].flen = cm;
    A[a].wlen = cm;
    A[a].log = FRONT(A[a].log, cm)
}

/* An Elected: `to` says how far it comes. 1: the term is saved, and, if nothing is in common, the
 * history that will be void; 2: the log is cut; 3: the history is adopted, and it answers. */
inline hear_elected(a, t, stage)
{
    A[a].flen = A[a].wlen;
    find_common(L[t].hist, A[a].hist, A[a].flen);
    A[a].term = t;
    if
    :: cm == NOT_FOUND -> cm = 0; A[a].hist = 0
    :: else
    fi;
#ifdef MUT_ADOPT_FIRST
    A[a].hist = L[t].hist;
#endif
    if
    :: stage >= 2 -> truncate(a)
    :: else
    fi;
    if
    :: stage == 3 ->
        A[a].hist = L[t].hist;
        A[a].elected = 1;
        acknowledge(a, t, A[a].flen)
    :: else -> crash(a)
    fi;
    check(a);
    norm()
}

#define ELECTED_DONE(a, t)                                                                         \
    ::d_step                                                                                       \
    {                                                                                              \
        L[t].phase == LEADING && (A[a].term < t || (A[a].term == t && !A[a].elected)) ->           \
        hear_elected(a, t, 3)                                                                           \
    }

#define ELECTED_CRASH(a, t, stage)                                                                 \
    ::d_step                                                                                       \
    {                                                                                              \
        L[t].phase == LEADING && (A[a].term < t || (A[a].term == t && !A[a].elected)) ->           \
        hear_elected(a, t, stage)                                                                       \
    }

#ifdef TRIM
/* Somebody else of whom leader t knows that he has the byte at f. */
#define IS_SOURCE(b, t, f) (A[b].base <= f && OF(A[b].ack, t) > f + 1)
#define CAN_SEND(a, t, f)                                                                          \
    (f + 1 >= OF(L[t].hist, t) || IS_SOURCE((a + 1) % N, t, f) || IS_SOURCE((a + 2) % N, t, f))
#else
#define CAN_SEND(a, t, f) (true)
#endif

/* An append at exactly the end of the log. The leader's next unit is made up when it is needed. */
#define APPEND(a, t)                                                                               \
    ::d_step                                                                                       \
    {                                                                                              \
        L[t].phase == LEADING && A[a].term == t && A[a].elected && A[a].wlen < LEN &&              \
            CAN_SEND(a, t, A[a].wlen) ->                                                           \
        f = A[a].wlen;                                                                             \
        if                                                                                         \
        :: f == L[t].size -> PUT(L[t].log, f, t); L[t].size++                                        \
        :: else                                                                                    \
        fi;                                                                                        \
        PUT(A[a].log, f, AT(L[t].log, f));                                                         \
        A[a].wlen++;                                                                               \
        APPENDED(a, t)                                                                             \
        check(a);                                                                                  \
        norm()                                                                                     \
    }
#ifdef MUT_ACK_UNFLUSHED
#define APPENDED(a, t) acknowledge(a, t, A[a].wlen);
#else
#define APPENDED(a, t)
#endif

#define FLUSH(a)                                                                                   \
    ::d_step                                                                                       \
    {                                                                                              \
        A[a].wlen > A[a].flen ->                                                                   \
        A[a].flen = A[a].wlen;                                                                     \
        to = A[a].term;                                                                            \
        FLUSH_TO(a)                                                                                \
        if                                                                                         \
        :: A[a].elected || to != A[a].term -> acknowledge(a, to, A[a].flen)                        \
        :: else                                                                                    \
        fi;                                                                                        \
        check(a);                                                                                  \
        norm()                                                                                     \
    }
#ifdef MUT_LATE_ACK
#define FLUSH_TO(a) last_term(A[a].hist, LEN, to);
#else
#define FLUSH_TO(a)
#endif

/* A crash loses what was not flushed, or nothing of it; some of it is the same as all of less. */
#define CRASH(a)                                                                                   \
    ::d_step                                                                                       \
    {                                                                                              \
        A[a].elected || A[a].wlen > A[a].flen ->                                                   \
        crash(a);                                                                                  \
        check(a);                                                                                  \
        norm()                                                                                     \
    }
#define CRASH_LUCKY(a)                                                                             \
    ::d_step                                                                                       \
    {                                                                                              \
        A[a].wlen > A[a].flen ->                                                                   \
        A[a].flen = A[a].wlen;                                                                     \
        crash(a);                                                                                  \
        check(a);                                                                                  \
        norm()                                                                                     \
    }

#ifdef TRIM
/* A snapshot is stored, and marked as verified. */
#ifdef MUT_SNAPSHOT_UNCOMMITTED
#define MAY_STORE(a, s) (s <= A[a].flen)
#else
#define MAY_STORE(a, s) (s <= kept)
#endif
#define STORE(a, s)                                                                                \
    ::d_step                                                                                       \
    {                                                                                              \
        s > A[a].snap ->                                                                           \
        find_committed();                                                                          \
        if                                                                                         \
        :: MAY_STORE(a, s) -> A[a].snap = s                                                        \
        :: else                                                                                    \
        fi;                                                                                        \
        norm()                                                                                     \
    }

#ifdef MUT_TRIM_ALONE
#define PROVEN(s) (true)
#else
#define PROVEN(s) ((A[0].snap >= s) + (A[1].snap >= s) + (A[2].snap >= s) >= QUORUM)
#endif
#ifdef MUT_TRIM_WITHOUT
#define HAS_OWN(a, s) (true)
#else
#define HAS_OWN(a, s) (A[a].snap >= s)
#endif
#ifdef MUT_SNAPSHOT_UNCOMMITTED
#define MAY_FORGET(a, t, s) (true)
#else
#define MAY_FORGET(a, t, s) (s <= L[t].commit)
#endif
#ifdef MUT_TRIM_UNTOLD
#define TAKES_TRIM(a, t) (true)
#else
#define TAKES_TRIM(a, t) (A[a].term == t && A[a].elected)
#endif

/* The leader has what is committed told, so what it knows is what the acceptor knows at best. */
#define TRIM_TO(a, t, s)                                                                           \
    ::d_step                                                                                       \
    {                                                                                              \
        L[t].phase == LEADING && TAKES_TRIM(a, t) && A[a].base < s && s <= A[a].flen &&            \
            MAY_FORGET(a, t, s) && PROVEN(s) && HAS_OWN(a, s) ->                                   \
        A[a].base = s;                                                                             \
        check(a);                                                                                  \
        norm()                                                                                     \
    }

#ifdef MUT_REBASE_ANY
#define IS_BEHIND(a, s) (s > A[a].base)
#else
#define IS_BEHIND(a, s) (s > A[a].wlen)
#endif
#ifdef MUT_REBASE_UNTOLD
#define TAKES_REBASE(a, t) (A[a].term <= t)
#else
#define TAKES_REBASE(a, t) (A[a].term == t && A[a].elected)
#endif
/* Where a log begins that the leader knows; it may have known more. */
#ifdef MUT_REBASE_UNCOMMITTED
#define BEGINS_THERE(b, t, s) (s <= L[t].size)
#else
#define BEGINS_THERE(b, t, s) (A[b].base == s && OF(A[b].ack, t) != 0)
#endif

#define REBASE_TO(a, t, s)                                                                         \
    ::d_step                                                                                       \
    {                                                                                              \
        L[t].phase == LEADING && TAKES_REBASE(a, t) && IS_BEHIND(a, s) &&                          \
            (BEGINS_THERE((a + 1) % N, t, s) || BEGINS_THERE((a + 2) % N, t, s)) ->                \
        A[a].base = s;                                                                             \
        A[a].wlen = s;                                                                             \
        A[a].flen = s;                                                                             \
        A[a].log = FRONT(L[t].log, s);                                                             \
        if                                                                                         \
        :: A[a].term == t && A[a].elected -> acknowledge(a, t, s)                                  \
        :: else                                                                                    \
        fi;                                                                                        \
        check(a);                                                                                  \
        norm()                                                                                     \
    }

#if LEN == 1
#define STORES(a) STORE(a, 1)
#define BEGINS(a, t) TRIM_TO(a, t, 1) REBASE_TO(a, t, 1)
#elif LEN == 2
#define STORES(a) STORE(a, 1) STORE(a, 2)
#define BEGINS(a, t) TRIM_TO(a, t, 1) REBASE_TO(a, t, 1) TRIM_TO(a, t, 2) REBASE_TO(a, t, 2)
#else
#define STORES(a) STORE(a, 1) STORE(a, 2) STORE(a, 3)
#define BEGINS(a, t)                                                                               \
    TRIM_TO(a, t, 1) REBASE_TO(a, t, 1) TRIM_TO(a, t, 2) REBASE_TO(a, t, 2)                        \
    TRIM_TO(a, t, 3) REBASE_TO(a, t, 3)
#endif
#else
#define STORES(a)
#define BEGINS(a, t)
#endif

#define STEPS_OF_TERM(a, t)                                                                        \
    VOTE_FOR_CANDIDATE(a, t)                                                                       \
    VOTE_FOR_RIVAL(a, t)                                                                           \
    VOTE_LOST(a, t)                                                                                \
    LEAD(a, t)                                                                                     \
    ELECTED_DONE(a, t)                                                                             \
    ELECTED_CRASH(a, t, 1)                                                                         \
    ELECTED_CRASH(a, t, 2)                                                                         \
    APPEND(a, t)                                                                                   \
    BEGINS(a, t)
#if TERMS == 1
#define STEPS(a) STEPS_OF_TERM(a, 1) FLUSH(a) CRASH(a) CRASH_LUCKY(a)
#elif TERMS == 2
#define STEPS(a) STEPS_OF_TERM(a, 1) STEPS_OF_TERM(a, 2) FLUSH(a) CRASH(a) CRASH_LUCKY(a)
#elif TERMS == 3
#define STEPS(a)                                                                                   \
    STEPS_OF_TERM(a, 1) STEPS_OF_TERM(a, 2) STEPS_OF_TERM(a, 3) FLUSH(a) CRASH(a) CRASH_LUCKY(a)
#else
#define STEPS(a)                                                                                   \
    STEPS_OF_TERM(a, 1) STEPS_OF_TERM(a, 2) STEPS_OF_TERM(a, 3) STEPS_OF_TERM(a, 4)                \
    FLUSH(a) CRASH(a) CRASH_LUCKY(a)
#endif

active proctype world()
{
end:
    do
    STEPS(0) STORES(0)
    STEPS(1) STORES(1)
    STEPS(2) STORES(2)
    od
}
