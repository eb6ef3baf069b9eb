"""The scheduler: how a fire time becomes a request, once, whatever dies on the way.

The rows are the truth
    A job carries `next_fire_at`, the first fire time without a row. Every act that creates, edits, resumes or fires the
    job sets it, through the one cron engine, and records first what lies before it (`jobs.schedule`). An execution
    row stands for one fire time (the unique constraint sees to that) and goes through these states:

        queued ──► running ──► success | failed          missed, skipped: settled when inserted, never sent
          ▲  │        │  └──► unknown ──► success | failed, by its own sender only
          │  └► skipped (its job was paused)
          └──── queued again, where the job asks for attempts

    Each arrow is one conditional UPDATE: it names the state it leaves and, from `running` on, the token of the sender.
    So two processes that both believe they lead waste work and do no harm. Nothing else protects the rows, and nothing
    else has to.

One pass (`producer`, each whole second)
    claim    due jobs, by index, in batches: lock, decide (`jobs.schedule.plan`), insert the executions, move the jobs
             on; one transaction. What finds a place in flight goes in as `running` at once, the rest as `queued`.
    start    queued rows whose time has come become `running`, with their definition as it is then. One transaction.
    send     the one loop of the HTTP client; it was given only rows that are committed, and knows no database
             (`pool`). Each request is in the sender's journal before it leaves, and its answer when it is there.
    record   outcomes in batches, with notices and counts; one transaction (`recorder`).

    The first pass after a change of leader is the catch-up: it finds all that is due in the table. There is no other
    mechanism, no list in memory that has to be rebuilt, and no second copy of the schedule that could differ.

Who may send how much (`jobs.targets.limits`)
    Places in flight are shared among owners and origins. A hanging target fills its owner's share and no more.

Where it is sent (`backends`)
    A backend takes rows that are committed as `queued`. The local one is this process: one thread with the loop, one
    that claims, one that records. Another `runscheduler` on the host stands by.

Who leads (`lease`, `runner`)
    One row with holder, fence and seq. A standby takes over when the row was unchanged for 15 s by the standby's
    monotonic clock; the holder stops by itself 3 s before that. "Due" is the database's clock, sampled at each renewal;
    hosts need not agree on the time. Repairs and chores (`jobs.chores`) are the leader's, run by APScheduler.

What happens when
    killed before the claim commits     nothing happened; the next leader finds the jobs due.
    killed after it, before the send    the journal says that it was taken and not sent: it is queued again, and sent
                                        by the next.
    killed while the request was out    unknown: from the outside this cannot be told from a request that arrived, and
                                        sending it again could run it twice. The journal says which these are.
    killed before the record            the journal has the answer, which the next process to find it records.
    its host gone, its journal lost     rows are `running` and nothing more is known: unknown, after their deadline.
    stopped, then continued             its lease is gone, and it notices before it claims. What it had started it
                                        sends and records: those rows are its own.
    SIGTERM                             claims end, the lease is handed over at once, requests in flight get the drain
                                        time, their outcomes are written. A second signal ends at once.
    database away, locked or full       nothing is claimed, so nothing is sent. Outcomes are kept for 15 minutes. The
                                        process stays and tries again each second.
    a row cannot be read or written     its batch is taken apart; it is marked with the reason and left out, the others
                                        go through.
    the host's clock jumps              a fire time that has its row gets no second one. Chores are planned anew.
    a machine is suspended              the clock of the lease counts the time asleep: its holder steps down at once.
"""
