import type { ReactNode } from "react";

interface Props {
  readonly title: string;
  /** What the reader can do next. */
  readonly children?: ReactNode;
  readonly isError?: boolean;
}

/** What is said in the place of something that is empty or failed. */
export function Notice({ title, children, isError = false }: Props) {
  return (
    <div className={isError ? "notice error" : "notice"} role={isError ? "alert" : "status"}>
      <p className="title">{title}</p>
      {children === undefined ? null : <div className="next">{children}</div>}
    </div>
  );
}
