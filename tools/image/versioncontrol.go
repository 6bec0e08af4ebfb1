package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// versionControl is what reading a Git repository takes: git, its program for http, and ssh,
// with the libraries that they load. What else git consists of are scripts for a shell, which
// these images do not have, and servers.
type versionControl struct{}

const (
	gitProgram = "/usr/bin/git"
	gitCore    = "/usr/lib/git-core"
	sshProgram = "/usr/bin/ssh"
)

// gitPrograms are looked up in the folder gitCore by git itself.
func gitPrograms() []string {
	return []string{gitProgram, gitCore + "/git-remote-http", sshProgram}
}

// gitLinks are names that git starts itself by.
func gitLinks() map[string]string {
	return map[string]string{gitCore + "/git": "../../bin/git", gitCore + "/git-remote-https": "git-remote-http"}
}

func (versionControl) entries(s sources) ([]entry, error) {
	out, err := programs(s.host, gitPrograms()...)
	if err != nil {
		return nil, fmt.Errorf("git and ssh: %w (install git and openssh-client)", err)
	}
	for _, e := range out {
		if filepath.Base(e.path) != "libc.so.6" {
			continue
		}
		// The C library loads it when a thread ends early; no program names it.
		path := filepath.Join(filepath.Dir(e.path), threadLibrary)
		out = append(out, entry{path: path, mode: 0o755, source: path})
		break
	}
	for path, target := range gitLinks() {
		out = append(out, entry{path: path, link: target})
	}
	return out, nil
}

const threadLibrary = "libgcc_s.so.1"

func (versionControl) instructions() []string { return []string{"COPY --from=git /out/ /"} }

// recipe is a stage of its own, that collects the same files.
func (versionControl) recipe() string {
	names := strings.Join(gitPrograms(), " ")
	links := "ln -s ../../bin/git /out" + gitCore + "/git && ln -s git-remote-http /out" + gitCore + "/git-remote-https"
	return "FROM " + debianImage + ` AS git
RUN apt-get update && apt-get install -y --no-install-recommends git openssh-client
RUN set -e; mkdir -p /out; for p in ` + names + `; do echo "$p"; ldd "$p" | grep -o '/[^ ]*'; done | sort -u >/files; \
    echo "$(dirname "$(grep '/libc[.]so[.]6$' /files)")/` + threadLibrary + `" >>/files; \
    while read -r f; do mkdir -p "/out$(dirname "$f")"; cp -L "$f" "/out$f"; done </files; \
    ` + links + "\n"
}
