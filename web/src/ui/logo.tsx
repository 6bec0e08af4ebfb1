export function Logo({ size = 24 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="var(--st-accent-soft)" />
      <path
        d="M9 9v14h6M15 16h8m-3.5-3.5L23 16l-3.5 3.5"
        fill="none"
        stroke="var(--st-accent)"
        strokeWidth="2.6"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}
