/* Leases of the leaders of one log, without synchronised clocks (docs/log-protocol.md, 7;
 * logsvc/lease.h), checked by spin: docs/testing.md.
 *
 * Time is real, discrete and without end: between two steps any number of ticks may pass. In each
 * tick each clock goes on by 1 or by 2, as it likes; so the rate error is 1/3 around 1.5, a lease of
 * L real ticks is L(1 - 1/3) * 1.5 = L units to its leader and a wait is L(1 + 1/3) * 1.5 = 2L units
 * to the candidate. No clock is ever compared to another, so all times are kept as what has passed
 * (age) or remains (left, safe) on the clock of their owner, as far as it matters: that makes the
 * state finite although time has no end.
 *
 * -DWORST_CLOCKS takes one tick instead of all: acceptors' clocks and waits run fast, leases slow.
 * Whatever another tick leads to is no worse: the steps depend on times only in that a shorter wait
 * allows more, and I9 in that a longer lease or a shorter wait breaks it sooner. So it covers the
 * same behaviours, and reaches more terms and longer leases.
 *
 * The steps of elections are those of elections.pml, without logs. Each term has a proxy of its own.
 * - A leader sends all the time; so whenever an acceptor can accept an append, one was sent just now.
 *   One that was sent earlier and accepted now is worse for the leader and the same for the acceptor.
 *   An acknowledgement that comes at once is, likewise, the best that the leader can have; only
 *   where leases begin at receipt (MUT_RECEIVE_TIME) does it matter that it may come late.
 * - Answers to votes arrive at once or never: later ones are the same as candidates that wait longer.
 * - An Elected may arrive again at any time, so whether the acceptor has heard one in this life is no
 *   part of the state: an append or a Release follows it, at once, when it needs to.
 * - Release can arrive late and twice; so can Elected and appends, from before a Release, too. An
 *   acceptor takes it if it is of its term, in any session, whomever it has accepted: so it is here.
 *
 * I9: while a leader is past its safe_at (it may tell clients that something is committed, or serve
 * reads), no leader of an earlier term that still serves has a lease. It implies that no two have a
 * valid lease at one real time.
 *
 * Mutations: MUT_RECEIVE_TIME, MUT_NO_RESTART_RULE, MUT_NO_DRIFT (1.5 L for both), MUT_OFF_BY_ONE
 * (a lease that is valid at its end), MUT_RELEASE_EARLY (before its own safe_at), MUT_RELEASE_ANY (of
 * an older term than the acceptor's), MUT_NO_WAIT. */
#ifndef TERMS
#define TERMS 3
#endif
#ifndef L
#define L 2
#endif
#ifdef MUT_NO_DRIFT
#define LEASE ((3 * L + 1) / 2)
#define WAIT ((3 * L) / 2)
#elif defined(MUT_OFF_BY_ONE)
#define LEASE (L + 1)
#define WAIT (2 * L)
#else
#define LEASE L
#define WAIT (2 * L)
#endif
#define N 3
#define QUORUM 2
/* The number of the invariant comes with the assertion, so that its failure tells it. */
#define INVARIANT(i, cond) assert((cond) || i == 0)

/* Four bits for each term. */
#define OF(x, t) (((x) >> (4 * ((t)-1))) & 15)
#define SET(x, t, v) x = ((x) & ~(15 << (4 * ((t)-1)))) | ((v) << (4 * ((t)-1)))

#define VOTING 0
#define LEADING 1
#define RELEASED 2 /* has stopped serving for good, and may say so */
#define DEAD 3

typedef acceptor {
    byte term;    /* durable */
    bit released; /* memory, like all that follows */
    byte age;     /* since the last accepted append, on its clock; WAIT: or longer */
    short vote;   /* ghost: counted by the candidate of a term */
    short left;   /* of the lease of a term's leader: what it has of this acceptor, on its clock */
#ifdef MUT_RECEIVE_TIME
    short due;    /* an acknowledgement is on its way */
#endif
};
typedef proxy {
    byte phase;
    byte safe; /* until safe_at, on its clock */
};
acceptor A[N];
proxy P[TERMS + 1];

#ifdef BREADTH_FIRST
#define SCRATCH
#else
#define SCRATCH hidden
#endif
SCRATCH byte u, v, x, f, m;
SCRATCH short h;

#define HAS_LEASE(t) ((OF(A[0].left, t) > 0) + (OF(A[1].left, t) > 0) + (OF(A[2].left, t) > 0) >= QUORUM)

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
    (A[i].age != A[j].age -> A[i].age > A[j].age :                                                 \
    (A[i].released != A[j].released -> A[i].released > A[j].released :                             \
    (A[i].vote != A[j].vote -> A[i].vote > A[j].vote : A[i].left > A[j].left))))

inline order(i, j)
{
    if
    :: IS_AFTER(i, j) ->
        swap_byte(A[i].term, A[j].term);
        swap_byte(A[i].age, A[j].age);
        swap_byte(A[i].released, A[j].released);
        swap_short(A[i].vote, A[j].vote);
#ifdef MUT_RECEIVE_TIME
        swap_short(A[i].due, A[j].due);
#endif
        swap_short(A[i].left, A[j].left)
    :: else
    fi
}

#define forget(field, t) SET(A[0].field, t, 0); SET(A[1].field, t, 0); SET(A[2].field, t, 0)

#ifdef MUT_RECEIVE_TIME
#define MAY_RENEW(a, t) (A[a].term <= t || OF(A[a].left, t) > 0 || OF(A[a].due, t) > 0)
#else
#define MAY_RENEW(a, t) (A[a].term <= t || OF(A[a].left, t) > 0)
#endif

/* Checks I9, forgets what can have no effect any more, sorts. */
inline norm()
{
    u = 1;
    do
    :: u <= TERMS ->
        v = u + 1;
        do
        :: v <= TERMS ->
            INVARIANT(9, !(P[u].phase == LEADING && HAS_LEASE(u) && P[v].phase == LEADING &&
                           P[v].safe == 0));
            v++
        :: else -> break
        od;
        m = (OF(A[0].vote, u) != 0) + (OF(A[1].vote, u) != 0) + (OF(A[2].vote, u) != 0) +
            (A[0].term < u) + (A[1].term < u) + (A[2].term < u);
        if
        :: P[u].phase == VOTING && m < QUORUM -> forget(vote, u); P[u].safe = 0
        :: P[u].phase == LEADING -> forget(vote, u)
        :: else
        fi;
        if
        :: P[u].phase == RELEASED -> forget(left, u); P[u].safe = 0
        :: else
        fi;
        if
        :: P[u].phase > VOTING && MAY_RENEW(0, u) + MAY_RENEW(1, u) + MAY_RENEW(2, u) < QUORUM ->
            forget(left, u) /* has no lease, and never will have */
        :: else
        fi;
        if
        :: P[u].phase > VOTING && A[0].term > u && A[1].term > u && A[2].term > u &&
           !HAS_LEASE(u) ->
            P[u].phase = DEAD;
            P[u].safe = 0
        :: else
        fi;
        u++
    :: else -> break
    od;
    order(0, 1);
    order(1, 2);
    order(0, 1);
    u = 0; v = 0; x = 0; f = 0; m = 0; h = 0
}

#define less(field, t, by) SET(field, t, (OF(field, t) > (by) -> OF(field, t) - (by) : 0))

/* A bit of `fast` for each clock: acceptors first, then proxies. */
#define SPEED(fast, i) (1 + (((fast) >> (i)) & 1))
#ifdef WORST_CLOCKS
#define LEASE_SPEED(fast, t) 1
#define WAIT_SPEED(fast, t) 2
#else
#define LEASE_SPEED(fast, t) SPEED(fast, N + (t) - 1)
#define WAIT_SPEED(fast, t) SPEED(fast, N + (t) - 1)
#endif

inline tick(fast)
{
    u = 0;
    do
    :: u < N ->
        A[u].age = (A[u].age + SPEED(fast, u) > WAIT -> WAIT : A[u].age + SPEED(fast, u));
        v = 1;
        do
        :: v <= TERMS ->
            less(A[u].left, v, LEASE_SPEED(fast, v));
            v++
        :: else -> break
        od;
        u++
    :: else -> break
    od;
    v = 1;
    do
    :: v <= TERMS ->
        P[v].safe = (P[v].safe > WAIT_SPEED(fast, v) -> P[v].safe - WAIT_SPEED(fast, v) : 0);
        v++
    :: else -> break
    od;
    norm()
}

#define TICK1(fast) ::d_step { true -> tick(fast) }
#define TICK4(fast) TICK1(fast) TICK1(fast + 1) TICK1(fast + 2) TICK1(fast + 3)
#define TICK16(fast) TICK4(fast) TICK4(fast + 4) TICK4(fast + 8) TICK4(fast + 12)
#ifdef WORST_CLOCKS
#define TICK TICK1(7)
#elif TERMS == 2
#define TICK TICK16(0) TICK16(16)
#else
#define TICK TICK16(0) TICK16(16) TICK16(32) TICK16(48)
#endif

#ifdef MUT_NO_WAIT
#define REMAINS(a) 0
#else
#define REMAINS(a) (A[a].released -> 0 : WAIT - A[a].age)
#endif

#define VOTE(a, t)                                                                                 \
    ::d_step                                                                                       \
    {                                                                                              \
        A[a].term < t && P[t].phase == VOTING && !OF(A[a].vote, t) ->                              \
        A[a].term = t;                                                                             \
        P[t].safe = (REMAINS(a) > P[t].safe -> REMAINS(a) : P[t].safe);                            \
        SET(A[a].vote, t, 1);                                                                      \
        if                                                                                         \
        :: OF(A[0].vote, t) + OF(A[1].vote, t) + OF(A[2].vote, t) == QUORUM ->                     \
            P[t].phase = LEADING                                                                   \
        :: else                                                                                    \
        fi;                                                                                        \
        norm()                                                                                     \
    }
/* Also: an Elected for one that did not vote. */
#define VOTE_LOST(a, t) ::d_step { A[a].term < t -> A[a].term = t; norm() }

/* Of a leader that has stopped, appends may still be on their way. */
#define ACCEPT(a, t)                                                                               \
    ::d_step                                                                                       \
    {                                                                                              \
        (P[t].phase == LEADING || P[t].phase == RELEASED) && A[a].term == t ->                     \
        A[a].age = 0;                                                                              \
        A[a].released = 0;                                                                         \
        ACCEPTED(a, t);                                                                            \
        norm()                                                                                     \
    }
#ifdef MUT_RECEIVE_TIME
#define ACCEPTED(a, t) SET(A[a].due, t, 1)
#define ACK(a, t)                                                                                  \
    ::d_step                                                                                       \
    {                                                                                              \
        P[t].phase == LEADING && OF(A[a].due, t) ->                                                \
        SET(A[a].due, t, 0);                                                                       \
        SET(A[a].left, t, LEASE);                                                                  \
        norm()                                                                                     \
    }
#else
#define ACCEPTED(a, t) SET(A[a].left, t, LEASE)
#define ACK(a, t)
#endif

#ifdef MUT_NO_RESTART_RULE
#define AGE_AT_START WAIT
#else
#define AGE_AT_START 0
#endif
#define RESTART(a)                                                                                 \
    ::d_step                                                                                       \
    {                                                                                              \
        true ->                                                                                    \
        A[a].released = 0;                                                                         \
        A[a].age = AGE_AT_START;                                                                   \
        norm()                                                                                     \
    }

#ifdef MUT_RELEASE_EARLY
#define MAY_RELEASE(t) (P[t].phase == LEADING)
#else
#define MAY_RELEASE(t) (P[t].phase == LEADING && P[t].safe == 0)
#endif
#define RELEASE(t) ::d_step { MAY_RELEASE(t) -> P[t].phase = RELEASED; norm() }
#ifdef MUT_RELEASE_ANY
#define TAKES_RELEASE(a, t) (A[a].term >= t)
#else
#define TAKES_RELEASE(a, t) (A[a].term == t)
#endif
#define RELEASE_HEARD(a, t)                                                                        \
    ::d_step                                                                                       \
    {                                                                                              \
        P[t].phase == RELEASED && TAKES_RELEASE(a, t) ->                                           \
        A[a].released = 1;                                                                         \
        norm()                                                                                     \
    }

#define STEPS_OF_TERM(a, t)                                                                        \
    VOTE(a, t) VOTE_LOST(a, t) ACCEPT(a, t) ACK(a, t) RELEASE_HEARD(a, t)
#if TERMS == 2
#define STEPS(a) RESTART(a) STEPS_OF_TERM(a, 1) STEPS_OF_TERM(a, 2)
#define STEPS_OF_PROXIES RELEASE(1) RELEASE(2)
#else
#define STEPS(a) RESTART(a) STEPS_OF_TERM(a, 1) STEPS_OF_TERM(a, 2) STEPS_OF_TERM(a, 3)
#define STEPS_OF_PROXIES RELEASE(1) RELEASE(2) RELEASE(3)
#endif

active proctype world()
{
end: /* acceptors have just started: all is 0 */
    do
    STEPS(0)
    STEPS(1)
    STEPS(2)
    STEPS_OF_PROXIES
    TICK
    od
}
