// Package event is the event log: what happened, in order, as part of the
// transaction that made it happen.
//
// Every event belongs to one stream and has the stream's next number: 1, 2, 3,
// ... without a gap. Append only buffers; one statement just before COMMIT takes
// the numbers of all touched streams (locking their rows in the order of their
// names, until the commit that follows at once) and writes the rows. Because a
// stream's row is locked until commit, numbers and commits have the same order:
// what a snapshot shows of a stream is always a prefix of it.
//
// After commit, a Publisher gets the envelopes as hints. They may be lost; a
// reader finds everything in the log, by stream and number or by the position
// of a snapshot.
//
// High-rate text (streamed model words, stage logs) goes into streams of its own
// (node_log:<id>), so that it never holds the lock of the stream that the run
// engine writes.
package event
