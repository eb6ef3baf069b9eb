"""The fault harness: real processes, real databases, real kills, and a checker that trusts none of them.

    script.py     the plan of a run, all of it drawn from one seed
    run.py        carries the plan out: processes, database, API calls, all at once; gathers the evidence
    target.py     receives what jobs send, answers well or badly, and writes everything down
    databases.py  SQLite, and private PostgreSQL and MariaDB servers that may be stopped, crashed and frozen
    processes.py  schedulers that are killed, stopped and terminated, and what befell each
    client.py     changes jobs over the API and keeps account of what is due of them
    watch.py      an audit table filled by triggers, and a look at the row of each request that arrives
    evidence.py   what all of these leave behind, as plain values
    checker.py    pure: evidence in, findings and figures out
    sabotaged.py  the service with one protection taken out, to prove that the checker would notice

The fire times come from `jobs.tests.cron.oracles`, which asks every minute whether crontab(5) would run now.
"""
