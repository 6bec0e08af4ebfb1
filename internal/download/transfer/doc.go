// Package transfer brings files onto the disk: parts in parallel, continued after
// any crash, verified, and put in place all at once.
//
// It knows nothing of hubs, jobs or databases. What it keeps, below a folder:
//
//	<target>/                 the finished files; appears by one rename
//	.downloads/<target>/      the stage of a target
//	    g<generation>/        the stage's current generation
//	        lock              held (flock) by the process that writes here
//	        parts/<hash>.part     bytes of a file, at their places
//	        parts/<hash>.journal  how far each segment of it is
//	        tree/<path>           verified files
//
// Invariants.
//
// What is counted is on the disk. A segment's bytes are written before its record
// in the journal, by system calls of one process, so the death of the process
// leaves at most bytes that are not counted. A crash of the machine may lose what
// the journal counts, so a record names the boot it was written in and how much of
// it a sync had confirmed; after another boot only that much counts. Data are
// synced every 64 MiB of a file and before it is verified, folders before the
// target appears.
//
// Two processes never write the same files. Whoever takes a stage over locks its
// generation first. If nobody holds the lock, its process is gone, and the folder
// is renamed to the new generation. If somebody does (a process that stands still
// and may wake up), what is there is copied into a new generation and the old one
// is removed: the old process then writes into files that have no name, and finds
// none of its paths.
//
// Only what has the expected hash gets into tree/, and only a complete tree becomes
// the target.
package transfer
