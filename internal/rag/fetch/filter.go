package fetch

import (
	"path"
	"strings"
)

// neverRead are folders of tools: what others made, or made of what is in the source.
// An include pattern that names one of them has it read all the same, but for .git.
const neverRead = `.git .hg .svn .bzr CVS node_modules bower_components jspm_packages venv .venv virtualenv __pycache__ .tox .nox
	.mypy_cache .pytest_cache .ruff_cache .ipynb_checkpoints build dist target out .gradle .m2 .next .nuxt .svelte-kit
	.parcel-cache .turbo .cache .terraform .idea .vscode .vs .DS_Store __MACOSX coverage .nyc_output .eggs site-packages`

// binaryNames are endings of files that nothing here reads.
const binaryNames = `png jpg jpeg gif bmp ico webp tif tiff heic heif avif psd ai eps raw cr2 nef xcf
	mp3 mp4 m4a m4v wav flac ogg oga ogv opus aac wma avi mov mkv webm wmv flv mpg mpeg 3gp mid
	zip gz tgz bz2 tbz xz txz zst lz lz4 lzma br 7z rar tar jar war ear whl egg apk ipa aar deb rpm dmg iso img cab msi pkg snap crx
	exe dll so dylib a o obj lib class pyc pyo pyd wasm bin elf ko node beam hex
	ttf otf woff woff2 eot pfb fon
	db sqlite sqlite3 mdb accdb frm ibd dbf parquet orc avro feather arrow h5 hdf5 npy npz pkl pickle joblib rds mat sav
	pt pth ckpt onnx safetensors gguf ggml tflite pb caffemodel model
	doc xls ppt odt ods odp pages numbers key pub mobi epub azw3 djvu
	p12 pfx jks keystore der crt cer gpg pgp kdbx swp swo pack idx dwg dxf stl blend fbx glb vmdk vdi qcow2 pcap pcapng dump core`

// documentNames are endings of files that hold text in a container; the limit of PDF
// files is theirs.
const documentNames = `pdf docx pptx xlsx`

// Verdict is what a filter says of a file.
type Verdict int

// The verdicts.
const (
	Take Verdict = iota
	Exclude
	Binary
	TooLarge
)

// Filter decides which files of a source are meant. It is safe for concurrent use.
type Filter struct {
	include, exclude patterns
	named            map[string]bool // folders that include patterns name
	never, binary    map[string]bool
	document         map[string]bool
	maxText, maxDoc  int64
}

// NewFilter makes a filter of patterns that were checked. A limit of 0 is none.
func NewFilter(s Selection) *Filter {
	f := &Filter{
		include: compile(s.Include), exclude: compile(s.Exclude), named: map[string]bool{},
		never: words(neverRead), binary: words(binaryNames), document: words(documentNames),
		maxText: s.MaxFileBytes, maxDoc: max(s.MaxPDFBytes, s.MaxFileBytes),
	}
	if s.MaxPDFBytes == 0 || s.MaxFileBytes == 0 {
		f.maxDoc = s.MaxPDFBytes
	}
	for _, p := range s.Include {
		for part := range strings.SplitSeq(p, "/") {
			f.named[part] = true
		}
	}
	return f
}

func words(list string) map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq(list) {
		out[w] = true
	}
	return out
}

// Folder tells whether anything in a folder may be meant.
func (f *Filter) Folder(folder string) bool {
	name := path.Base(folder)
	if name == ".git" || (f.never[name] && !f.named[name]) {
		return false
	}
	return !f.exclude.match(folder)
}

// Folders is Folder for all folders that a path lies in.
func (f *Filter) Folders(file string) (first string, ok bool) {
	for i, r := range file {
		if r == '/' && !f.Folder(file[:i]) {
			return file[:i], false
		}
	}
	return "", true
}

// File decides about a file whose folders are all meant. size below 0: not known.
func (f *Filter) File(file string, size int64) Verdict {
	if f.exclude.match(file) || (len(f.include) > 0 && !f.include.covers(file)) {
		return Exclude
	}
	ending := strings.ToLower(strings.TrimPrefix(path.Ext(file), "."))
	switch {
	case f.binary[ending] || path.Base(file) == ".DS_Store":
		return Binary
	case f.document[ending] && f.maxDoc > 0 && size > f.maxDoc, !f.document[ending] && f.maxText > 0 && size > f.maxText:
		return TooLarge
	}
	return Take
}

// maxExamples is how many paths a walk tells of what could not be read.
const maxExamples = 10

// Count counts what a verdict leaves out; it tells whether the file is taken.
func (s *Skipped) Count(v Verdict) bool {
	switch v {
	case Exclude:
		s.Excluded++
	case Binary:
		s.Binary++
	case TooLarge:
		s.TooLarge++
	case Take:
		return true
	}
	return false
}

// maxUnlisted bounds what is listed of that; with more, nothing is known for certain.
const maxUnlisted = 1000

// CannotList counts something of which it could not be learned whether and how it is
// there, with the reason. The path of a folder ends with a slash.
func (s *Skipped) CannotList(path, reason string) {
	s.CannotRead(path, reason)
	switch len(s.Unlisted) {
	case maxUnlisted + 1:
	case maxUnlisted:
		s.Unlisted = append(s.Unlisted, Unlisted{Everything, "more than 1000 folders and files cannot be read"})
	default:
		s.Unlisted = append(s.Unlisted, Unlisted{path, reason})
	}
}

// CannotRead counts something that is no file which could be read, with the reason.
func (s *Skipped) CannotRead(path, reason string) {
	s.Unreadable++
	if len(s.Examples) < maxExamples {
		s.Examples = append(s.Examples, strings.ToValidUTF8(path, "\uFFFD")+": "+reason)
	}
}
