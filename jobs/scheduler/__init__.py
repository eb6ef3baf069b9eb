"""The scheduler: how a fire time becomes a request, once, whatever dies on the way.

The rows are the truth
    A job carries `next_fire_at`, the first fire time nobody has dealt with. Whoever creates, edits, resumes or fires
    the job sets it, through the one cron engine, and records first what lies before it (`jobs.schedule`). An execution
    row stands for one fire time (the unique constraint sees to that) and goes through these states:

        queued ──► running ──► success | failed          missed, skipped: settled when inserted, never sent
          ▲  │        │  └──► unknown ──► success | failed, by its own sender only
          │  └► skipped (its job was paused)
          └──── queued again, where the job asks for attempts

    Each arrow is one conditional UPDATE: it names the state it leaves and, from `running` on, the token of the sender.
    So two processes that both believe they lead waste work and do no harm. Nothing else protects the rows, and nothing
    else has to.

One pass (`sender`, `feed`, each whole second)
    claim    due jobs, by index, in batches: lock, decide (`jobs.schedule.plan`), insert the executions, move the jobs
             on; one transaction. What finds room in the send pool goes in as `running` at once, the rest as `queued`.
    start    queued rows whose time has come become `running`, with their definition as it is then. One transaction.
    send     threads that hold no connection and no model (`send`); they were given only rows that are committed.
    record   outcomes in batches, with notices and counts; one transaction (`record`).

    The first pass after a change of leader is the catch-up: what is due is due, whoever was away. There is no other
    mechanism, no list in memory that has to be rebuilt, and no second copy of the schedule that could differ.

Who helps (`workers`)
    Python computes on one processor per process. Where a pass finds more than one batch it calls the scheduler's
    worker processes, which make passes of the same kind as long as the leader's term is trusted. Each has a token, a
    pool and a recorder of its own; the statements on the rows keep them apart. Each claims no more than it sends soon,
    so that none holds what another could be sending. A process between, the nursery, forks them and replaces those that
    die.

Who leads (`lease`, `runner`)
    One row with holder, fence and seq. A standby takes over when the row stood still for 15 s by its own clock that
    nobody can set; the holder stops 3 s before that by itself. "Due" is the database's clock, sampled at each renewal;
    hosts need not agree on the time. Repairs and chores (`jobs.chores`) are the leader's, run by APScheduler.

What happens when
    killed before the claim commits     nothing happened; the next leader finds the jobs due.
    killed after it, before the send    rows are `running` and nobody sent them. They become `unknown`: from the
                                        outside this cannot be told from a request that left, and sending it again
                                        could make it two.
    killed after the send               the same, and for the same reason.
    killed before the record            the same. At most the last seconds of outcomes are lost (`record`).
    a worker killed                     what it had sent becomes `unknown`; another takes its place at once, or
                                        after a growing delay where one after the other dies.
    the nursery killed                  workers go on, and are not replaced any more until a restart.
    its scheduler killed                a worker finishes and records what it has sent, claims nothing more, and ends.
    stopped, then continued             its lease is gone, and it notices before it claims. What it had started it
                                        sends and records: those rows are its own.
    SIGTERM                             claims end, the lease is handed over at once, requests in flight get the drain
                                        time, their outcomes are written. A second signal ends at once.
    database away, locked or full       nothing is claimed, so nothing is sent. Outcomes are kept for 15 minutes. The
                                        process stays and tries again each second.
    a row nobody can read or write      its batch is taken apart; it is marked with the reason and left out, the others
                                        go through.
    the host's clock jumps              a fire time that has its row gets no second one. Chores are planned anew.
    a machine is suspended              the clock of the lease counts the time asleep: its holder steps down at once.
"""
