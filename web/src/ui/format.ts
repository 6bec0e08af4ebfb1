// Numbers and times in words. Pure; now is given, so that it can be tested.

export function duration(ms: number): string {
  const value = Math.max(0, ms);
  if (value < 1_000) return `${Math.round(value)} ms`;
  if (value < 10_000) return `${(value / 1_000).toFixed(1)} s`;
  const s = Math.round(value / 1_000);
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  if (s < 86_400)
    return `${Math.floor(s / 3_600)} h ${String(Math.floor((s % 3_600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3_600)} h`;
}

export function relative(at: number, now: number): string {
  const s = Math.round((now - at) / 1_000);
  if (s < 0) return s > -60 ? "in a moment" : new Date(at).toLocaleString();
  if (s < 5) return "just now";
  if (s < 60) return `${s} s ago`;
  if (s < 3_600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ago`;
  if (s < 30 * 86_400) return `${Math.floor(s / 86_400)} d ago`;
  return new Date(at).toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" });
}

const grouped = new Intl.NumberFormat("en");

export const count = (n: number): string => grouped.format(n);

export function bytes(n: number): string {
  if (n < 1_024) return `${n} B`;
  if (n < 1_024 * 1_024) return `${(n / 1_024).toFixed(1)} KiB`;
  if (n < 1_024 ** 3) return `${(n / 1_024 ** 2).toFixed(1)} MiB`;
  if (n < 1_024 ** 4) return `${(n / 1_024 ** 3).toFixed(1)} GiB`;
  return `${(n / 1_024 ** 4).toFixed(1)} TiB`;
}
