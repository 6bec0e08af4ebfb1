// Package retention removes what is not to be kept for ever: the events and the
// streamed text of runs and downloads that have ended, firings of schedules, ended
// workers that nothing refers to, and, only if it is asked to, runs themselves.
//
// It must not know who reads events; whoever has to be told that some are gone is
// given as a function, which runs in the transaction that removes them.
//
// What is removed are whole streams of final aggregates: nothing will be added to
// them. Only a source's stream is cut: a source is never final, and its index runs would
// fill it for ever; what is left begins with its first young event. A stream keeps its row with its numbers, so a reader that asks for what is
// gone is told so and does not take the silence for the truth. The row goes with
// the run or the download.
//
// The work is cut into transactions of bounded size. For events and text it goes
// along the ends of runs, oldest first, and remembers how far it came; what ended
// before that point is not looked at again. A run that ended is committed at once,
// and ages are days, so none is passed by.
package retention
