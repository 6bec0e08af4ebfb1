// Package proxy tests the Studio behind real proxies: the sample configurations of
// docs/operations/proxies, with nothing replaced but names, ports and files.
package proxy
