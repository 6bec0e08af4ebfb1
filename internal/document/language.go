package document

import "sync"

// kindOf is the kind of a language: data formats are Config.
func kindOf(language string) Kind {
	if isOneOf(language, "json yaml toml csv tsv ini xml properties") {
		return Config
	}
	return Code
}

// fileNames gives the languages of files that are known by their whole names, in lower case.
var fileNames = sync.OnceValue(func() map[string]string { //nolint:gochecknoglobals // a table
	return map[string]string{
		"makefile": "make", "gnumakefile": "make", "dockerfile": "dockerfile", "containerfile": "dockerfile",
		"jenkinsfile": "groovy", "vagrantfile": "ruby", "gemfile": "ruby", "rakefile": "ruby", "brewfile": "ruby",
		"cmakelists.txt": "cmake", "go.mod": "gomod", "go.work": "gomod", "go.sum": "gosum", "build.bazel": "python", "workspace": "python",
		".bashrc": "shell", ".zshrc": "shell", ".profile": "shell", ".bash_profile": "shell",
		".gitconfig": "ini", ".editorconfig": "ini", ".npmrc": "ini", ".env": "properties", "pipfile": "toml", "cargo.lock": "toml", "poetry.lock": "toml",
		".prettierrc": "yaml", ".clang-format": "yaml", ".babelrc": "json", ".eslintrc": "json",
	}
})

// extensions gives the languages of file name extensions.
var extensions = sync.OnceValue(func() map[string]string { //nolint:gochecknoglobals // a table
	m := map[string]string{}
	for language, list := range map[string][]string{
		"go": {"go"}, "python": {"py", "pyi", "pyw", "bzl", "star"}, "javascript": {"js", "mjs", "cjs"}, "jsx": {"jsx"}, "typescript": {"ts", "mts", "cts"},
		"tsx": {"tsx"}, "java": {"java"}, "rust": {"rs"}, "c": {"c", "h"}, "cpp": {"cc", "cpp", "cxx", "c++", "hh", "hpp", "hxx", "ipp", "tpp", "inl", "cu", "cuh", "ino"},
		"objective-c": {"m", "mm"}, "csharp": {"cs"}, "kotlin": {"kt", "kts"}, "scala": {"scala", "sc"}, "swift": {"swift"}, "dart": {"dart"}, "groovy": {"groovy", "gradle"},
		"php": {"php"}, "ruby": {"rb", "rake", "gemspec"}, "lua": {"lua"}, "elixir": {"ex", "exs"}, "shell": {"sh", "bash", "zsh", "ksh", "bats"}, "perl": {"pl", "pm"},
		"r": {"r"}, "powershell": {"ps1", "psm1"}, "sql": {"sql", "psql", "ddl"}, "css": {"css"}, "scss": {"scss", "less"}, "protobuf": {"proto"}, "graphql": {"graphql", "gql"},
		"terraform": {"tf", "tfvars", "hcl"}, "solidity": {"sol"}, "zig": {"zig"}, "thrift": {"thrift"}, "cue": {"cue"}, "starlark": {}, "vue": {"vue"}, "svelte": {"svelte"},
		"haskell": {"hs"}, "ocaml": {"ml", "mli"}, "erlang": {"erl", "hrl"}, "clojure": {"clj", "cljs"}, "lisp": {"el", "lisp", "scm"}, "julia": {"jl"}, "fortran": {"f90", "f"},
		"assembly": {"s", "asm"}, "vim": {"vim"}, "make": {"mk", "mak"}, "cmake": {"cmake"}, "dockerfile": {"dockerfile"}, "batch": {"bat", "cmd"}, "template": {"tmpl", "tpl", "gotmpl", "j2"},
		"json": {"json", "jsonc", "json5", "jsonl", "ndjson", "geojson", "ipynb", "webmanifest"}, "yaml": {"yaml", "yml"}, "toml": {"toml"}, "csv": {"csv"}, "tsv": {"tsv"},
		"ini": {"ini", "cfg", "conf", "desktop", "service"}, "properties": {"properties", "env"}, "xml": {"xml", "xsd", "xsl", "plist", "pom", "csproj"},
	} {
		for _, ext := range list {
			m[ext] = language
		}
	}
	return m
})
