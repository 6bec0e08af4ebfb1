// Package node is node activity on the worker side: it claims node runs, hands
// them to an executor, records what they say while they run, and commits how
// they end.
//
// Runner owns the attempts that this process holds. Recorder groups what all of
// them report (stages, logs, streamed words) into one transaction every 50 ms;
// what is still buffered when an attempt ends goes into the transaction that
// ends it, so the last words always precede the end.
//
// Attempts that run outside of any worker report by themselves: Ingest stores what
// they say, with the same translation, and Dispatches is what their dispatcher
// stores. The Runner only holds them (remote).
//
// Everything is fenced by the attempt's number: text of an attempt that is not
// the open one any more is dropped.
package node
