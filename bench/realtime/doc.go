// Package realtime measures the Socket.IO server against its peers: how much CPU time
// of the server a delivery takes, how much memory an idle connection, how many
// connections a second, and how long an event is on its way.
//
// All servers get the same load, from one generator in the benchmark's own process;
// what they spend is read from /proc. See bench/README.md.
package realtime
