// Package proxyfix makes a request that came through reverse proxies look as it
// did when the browser sent it: client address, scheme, host, and the path prefix
// below which the application is mounted.
//
// Anyone can write forwarded headers, so only as many values are believed as there
// are proxies that add one: with n trusted hops, the n-th value from the right. It
// was written by the outermost proxy of ours; what stands left of it came from
// outside. Counting follows werkzeug's ProxyFix, header by header (testdata holds
// what its version 3.1.8 was observed to do). Two things differ on purpose: a value that cannot
// be what it claims to be (no IP address, no host name, a path with "..") is
// ignored, counted and warned of once instead of being believed; and the default
// port of the scheme is left out of the host, as browsers leave it out of Origin.
//
// Invariants: whatever was not believed is removed from the request, so nothing
// further in can read it; a forwarded header that is still there holds exactly the
// believed value. [Request.URL].Scheme is set only from a believed header, so it
// being set means that the browser's scheme is known.
//
// The package knows nothing of the Studio but the paths it is told to protect and the
// setting that a hint in the log names.
package proxyfix
