"""Follow the workflow runs that executions started to their end.

    begin       a dispatch that was accepted makes a row of `github_runs`, which holds all that following needs
    polling     the leader goes on with it, and polls: in intervals that grow, with ETags, for a limited time
    poll        asks GitHub once, in a thread: a PollRequest goes in, a PollResult comes out
    events      GitHub may also report by webhook, before the next poll
    search      finds the run where GitHub did not name it, or the dispatch's sender died before it could record that
    ownership   says which run belongs to which execution
    conclusion  updates the row from polls and events, to the end of the run

The end of a run sends one notice, counts for the job's failures in a row, and frees its place where runs must not
overlap. Where a run `decides`, it does so instead of its dispatch; the execution's `status` stays the dispatch's.
"""

from jobs.github.tracking.begin import Started, begin
from jobs.github.tracking.events import handle_workflow_run_event
from jobs.github.tracking.ownership import claim_found, known_runs
from jobs.github.tracking.polling import follow
from jobs.github.tracking.search import start_run_lookup

__all__ = ["Started", "begin", "claim_found", "follow", "handle_workflow_run_event", "known_runs", "start_run_lookup"]
