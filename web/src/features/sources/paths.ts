// Paths of folders. Pure.

/** The folder above one, within a root; null at the root itself. */
export function parentIn(path: string, root: string): string | null {
  if (path === root) return null;
  const cut = path.replace(/\/+$/, "").lastIndexOf("/");
  const parent = cut <= 0 ? "/" : path.slice(0, cut);
  return parent.length < root.length ? root : parent;
}
