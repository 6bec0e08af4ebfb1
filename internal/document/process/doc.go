// Package process reads documents in processes of their own: this program, started with
// the command that calls [Serve]. It must not know which formats there are beyond what
// package document tells, nor who asks.
//
// # Why
//
// Libraries that parse what anybody made cannot be interrupted everywhere, overflow the
// stack of a process for good, and take memory without asking. A goroutine cannot be ended
// from outside; a process can.
//
// # Invariants
//
//   - What a document does to its parser is that document's error, with the reason, and
//     touches no other one.
//   - A parser lives no longer than a document's time-out, and the end of who asked for it:
//     it is ended with its group, by the kernel when this process dies, and it ends by itself
//     when its pipe does.
//   - A parser has a clean environment, no way to read files that it was not given, and a
//     bound of its memory that the kernel holds ([Options.Memory]).
//   - What a parser answers is bounded, and read as something that may be wrong.
//
// # The protocol
//
// Parser and program are the same file, so the protocol has no version. The file's bytes are
// in one place that both sides have open (a memfd; descriptor 3 of the parser), written
// once and mapped there. A request is a line's worth of JSON behind its length (4 bytes, big
// endian) on standard input; an answer is its length, one byte for its kind, and the
// document or the error, on descriptor 4: libraries print to standard output. The first
// answer, before any request, says that the parser is there and which bounds it has.
package process
