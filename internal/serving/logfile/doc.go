// Package logfile is where a log goes: a stream of the process, or a file that can
// be rotated.
//
// What holds:
//   - One Write is one append: several processes may write to the same file, and
//     their lines stay whole as long as each Write is of whole lines.
//   - After Reopen returns nil, what is written goes to the file that has the name
//     now. When it fails, the file so far stays in use.
//   - Open finds out whether the file can be written, so that a wrong path is known
//     before anything is served; opening never waits for a reader of a named pipe.
//
// The package knows neither what is logged nor when to rotate.
package logfile
