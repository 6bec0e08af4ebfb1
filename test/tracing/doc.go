// Package tracing holds tests of what an operator sees of the program from outside:
// its traces, as a collector gets them, and its figures, as Prometheus does. The built
// program, a real database, processes of their own.
package tracing
