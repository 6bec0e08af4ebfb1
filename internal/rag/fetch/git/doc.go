// Package git reads sources that are Git repositories, through the program git.
//
// It must not know where sources are stored, nor whose secret it uses.
//
// # What is fetched
//
// One commit, the newest of a branch, without its history, into a bare repository
// below the data folder: one a source and host. There is no work tree; files are read
// from the object database at that commit, so a tree does not change while it is read,
// and nothing that a repository contains (hooks, filters, links) is carried out. When the
// branch is where it was, nothing is fetched. A repository that is damaged, or that
// belongs to another address, is made anew.
//
// # What is protected
//
//   - Addresses are parsed and given behind "--", with an allow-list of one protocol, so
//     none is taken for an option or for a helper program.
//   - No shell is started: not for ssh, nor for a local repository's server. git would use one
//     for both, so it is given them as programs with their words (git-remote-ext).
//   - Names are resolved here, and git is told which addresses they have, so what
//     a [Resolver] refuses cannot be reached by a name that resolves differently a
//     second time. Redirects are not followed, proxies and the user's and the
//     system's configuration are not used.
//   - A token reaches git in its environment, as a header for one host; it is in no argument,
//     file or address. An SSH key never leaves this process: ssh asks an agent
//     that lives as long as the fetch.
//   - SSH servers are believed the first time and held to their key afterwards
//     (known_hosts in the data folder).
package git
