package document_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/document"
)

// symbols gives the paths of the symbols of a file.
func symbols(t *testing.T, path, text string) []string {
	t.Helper()
	var out []string
	for _, b := range parsed(t, path, text).Blocks {
		if b.Kind == document.BlockSymbol {
			out = append(out, strings.Join(b.Heading, "/"))
		}
	}
	return out
}

func TestSymbolsOfEachLanguageAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path, text string
		want       []string
	}{
		{"a.go", "package a\n\nimport \"x\"\n\n// A says.\nfunc A() {\n\tb := `}`\n}\n\ntype T struct {\n\tx int\n}\n\nfunc (t *T[K]) M() {}\n\nconst (\n\tx = 1\n\ty = 2\n)\n", []string{"A", "T", "T.M", "x"}},
		{"broken.go", "package a\n\nfunc A() {\n\tx := \"}\"\n}\n\nfunc (t *T) M() {\n}\n\nfunc }", []string{"A", "T.M"}},
		{"a.py", "import os\n\n@deco(\n  1)\nclass A(B):\n    \"\"\"Doc\n\ndef not_me():\n    \"\"\"\n    x = 1\n\n    @property\n    def m(self, a={\n  1: 2}):\n        return 1\n\n    async def n(self):\n        pass\n\n# about f\ndef f():\n    def inner():\n        pass\n    return '''\ndef g(): pass\n'''\n\nif True:\n    def h():\n        pass\n", []string{"A", "A/m", "A/n", "f", "h"}},
		{"a.js", "import x from 'y'\n\n/** Doc */\nexport default async function load(a, { b }) {\n  const re = /[}\"]\\//\n  return `a ${ { b: `}` }.b } }`\n}\n\nexport class A extends B {\n  #p = 1\n  static async get(x) {\n    if (x) {\n      return\n    }\n  }\n  set = (v) => {\n    this.v = v\n  }\n}\n\nconst f = (x) => {\n  return x\n}\nmodule.exports.g = function () {\n}\n", []string{"load", "A", "A/get", "A/set", "f", "module.exports.g"}},
		{"a.tsx", "export interface P {\n  a: string\n}\n\nexport type T =\n  | 'a'\n  | 'b'\n\nexport const View: FC<P> = ({ a }) => {\n  return <p>Don't {a}</p>\n}\n\nexport function Other() {\n  return (\n    <div>\n      {list.map((x) => {\n        return x\n      })}\n    </div>\n  )\n}\nnamespace N {\n  export enum E {\n    A,\n  }\n}\n", []string{"P", "T", "View", "Other", "N", "N/E"}},
		{"a.test.ts", "test('that it is', async () => {\n  expect(1)\n})\n\ndescribe.skip(\"x\", () => {\n  it('y', () => {\n  });\n});\n", []string{"test('that it is')", "describe.skip(\"x\")"}},
		{"A.java", "package a;\n\nimport b.C;\n\n/** Doc. */\n@Service(\"x\")\npublic final class A<T extends B> implements C {\n  private int x = 1;\n\n  public A(int x) {\n    this.x = x;\n  }\n\n  @Override\n  public <T> List<T> get(Map<String, T> m) throws E {\n    char c = '}';\n    if (x) { return null; } else { return m; }\n  }\n\n  enum Kind { A, B }\n\n  interface In {\n    void x();\n  }\n}\n", []string{"A", "A/A", "A/get", "A/Kind", "A/In"}},
		{"a.rs", "use x::y;\n\n/// Doc\n#[derive(Debug)]\npub struct A<'a> {\n    x: &'a str,\n}\n\nimpl<'a> Display for A<'a> {\n    fn fmt(&self) -> R {\n        let c = '}';\n        /* a /* b */ } */\n    }\n}\n\npub(crate) async fn run<T: X>(t: T) -> Result<()> where T: Y {\n}\n\nmod tests {\n    #[test]\n    fn it() {\n    }\n}\n\nmacro_rules! m {\n    () => {};\n}\n", []string{"A", "impl Display for A<'a>", "impl Display for A<'a>/fmt", "run", "tests", "tests/it", "m"}},
		{"a.c", "#include <x.h>\n#define M(x) {\n\nstruct s {\n\tint x;\n};\n\nint f(int);\n\n/* Doc */\nstatic int\nf(int x)\n{\n#ifdef A\n\tif (x) {\n#endif\n\treturn '}';\n#ifdef A\n\t}\n#endif\n}\n\nstruct s *g(void) {\n\treturn \"}\";\n}\n\nenum e { A, B };\n\nstatic const int t[] = {\n\t1, 2,\n};\n", []string{"s", "f", "g", "e"}},
		{"a.cpp", "namespace a::b {\n\ntemplate <typename T>\nclass V : public W<T> {\n public:\n  V() : x_(0) {}\n  ~V() {\n  }\n  bool operator==(const V& o) const {\n    return R\"x(})\")x\" == 1'000;\n  }\n};\n\nvoid V::put(int x) {\n}\n\nextern \"C\" {\nint c_api(void) {\n}\n}\n}  // namespace\n", []string{"a::b", "a::b/V", "a::b/V/V", "a::b/V/~V", "a::b/V/operator==", "a::b/V::put", "a::b/extern", "a::b/extern/c_api"}},
		{"a.rb", "require 'x'\n\n# Doc\nmodule M\n  class A < B\n    def self.x(a)\n      if a\n        1\n      end\n    end\n\n    def y? = true\n\n    private\n\n    def z\n      <<~EOS\n    end\n      EOS\n    end\n  end\nend\n", []string{"M", "M/A", "M/A/self.x", "M/A/y?", "M/A/z"}},
		{"a.sh", "#!/bin/bash\nset -e\n\n# Doc\nf() {\n\tlocal x=${1:-}\n\tcat <<EOF\n}\nEOF\n}\n\nfunction g {\n\tif true; then\n\t\techo }\n\tfi\n}\nh() { echo; }\ng\n", []string{"f", "g", "h"}},
		{"a.sql", "-- name: GetUser :one\nSELECT * FROM users WHERE name = ';';\n\nCREATE TABLE IF NOT EXISTS \"users\" (\n  id bigint, -- ;\n  n text\n);\n\nCREATE OR REPLACE FUNCTION f() RETURNS trigger AS $$\nBEGIN\n  a; b;\nEND $$ LANGUAGE plpgsql;\n\nCREATE TRIGGER t AFTER INSERT ON x BEGIN\n  IF a THEN b; END IF;\n  UPDATE y SET z = 1;\nEND;\n\nINSERT INTO users VALUES (1);\nINSERT INTO users VALUES (2);\nDROP TABLE x;\n", []string{"GetUser", "table users", "function f", "trigger t", "insert into users", "drop table x"}},
		{"a.kt", "class A(val x: Int) {\n    fun String.ext(): Int {\n        return 1\n    }\n    companion object {\n        fun of() = A(1)\n    }\n}\nfun top() {\n}\n", []string{"A", "A/ext", "top"}},
		{"a.cs", "namespace N {\n  public class A : B {\n    public int X { get; set; }\n    [HttpGet(\"x\")]\n    public async Task<int> Get(int id) {\n      return 1;\n    }\n  }\n}\n", []string{"N", "N/A", "N/A/X", "N/A/Get"}},
		{"a.php", "<?php\nnamespace A;\n\nclass B extends C {\n  public function x($a) {\n    return '}';\n  }\n}\nfunction y() {\n}\n", []string{"B", "B/x", "y"}},
		{"a.proto", "syntax = \"proto3\";\n\n// Doc\nmessage A {\n  string b = 1;\n}\n\nservice S {\n  rpc Get(A) returns (A) {}\n}\n", []string{"message A", "service S"}},
		{"a.tf", "resource \"aws_x\" \"y\" {\n  a = \"${b}\"\n}\n\n# Doc\nvariable \"z\" {\n}\n", []string{`resource "aws_x" "y"`, `variable "z"`}},
		{"a.lua", "local function f(x)\n  if x then\n    return 1\n  end\nend\n\nfunction M.g()\nend\n", []string{"f", "M.g"}},
		{"a.swift", "class A: B {\n  init(x: Int) {\n  }\n  func go<T>(_ x: T) -> Int {\n    return 1\n  }\n}\n", []string{"A", "A/init", "A/go"}},
	} {
		t.Run(c.path, func(t *testing.T) {
			t.Parallel()
			got := symbols(t, c.path, c.text)
			got = slices.Compact(got)
			require.Equal(t, c.want, got)
		})
	}
}

func TestASymbolHasItsCommentsAndItsWholeBody(t *testing.T) {
	t.Parallel()
	d := parsed(t, "a.go", "package a\n\n// A says\n// something.\nfunc A() {\n\n\tx()\n}\n\n// loose\n\nvar b = 1\n")
	require.Equal(t, document.Block{Text: "// A says\n// something.\nfunc A() {\n\n\tx()\n}", LineStart: 3, LineEnd: 8, Heading: []string{"A"}, Kind: "symbol"}, d.Blocks[1])
	d = parsed(t, "a.py", "import a\n\n# about f\n@deco\ndef f():\n    x()\n\n    y()\n\nz()\n")
	require.Equal(t, document.Block{Text: "# about f\n@deco\ndef f():\n    x()\n\n    y()", LineStart: 3, LineEnd: 8, Heading: []string{"f"}, Kind: "symbol"}, d.Blocks[1])
	require.Equal(t, "z()", d.Blocks[2].Text)
}
