"""Follow the workflow runs that executions started, to the end: what GitHub says there is what users want to know.

    begin       a dispatch that was accepted makes a row of `github_runs`, which holds all that following needs
    polling     the leader goes on with it, and polls: in intervals that grow, with ETags, for a limited time
    poll        asks GitHub once, in a thread: a PollRequest goes in, a PollResult comes out
    events      GitHub may also tell; then the next poll need not be waited for
    search      finds the run where GitHub did not name it, or the dispatch's sender died before it could record that
    ownership   says which run belongs to which execution
    conclusion  brings the row up to what was seen or told, to the end of the run

How a run ended is told once, counts for the job's health, and frees its place where runs must not overlap. A run that
decides (`decides`) does so instead of its dispatch; the execution's `status` is the dispatch's outcome all the same.
"""

from jobs.github.tracking.begin import Started, begin
from jobs.github.tracking.events import handle_workflow_run_event
from jobs.github.tracking.ownership import claim_found, known_runs
from jobs.github.tracking.polling import follow
from jobs.github.tracking.search import start_run_lookup

__all__ = ["Started", "begin", "claim_found", "follow", "handle_workflow_run_event", "known_runs", "start_run_lookup"]
