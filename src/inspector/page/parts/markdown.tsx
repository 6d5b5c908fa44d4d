import { memo } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { Wide } from "./wide.tsx";

/** Characters beyond which a text is shown as it is: laying it out would hold up the page. */
const LONG = 60_000;
const PLUGINS = [remarkGfm];

const COMPONENTS: Components = {
  a: ({ href, children }) => (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  ),
  // An image is loaded by nobody who only reads a thread: its server would learn of the reader.
  img: ({ src, alt }) => (
    <a href={String(src ?? "")} target="_blank" rel="noopener noreferrer nofollow">
      [image: {alt === undefined || alt === "" ? "without a description" : alt}]
    </a>
  ),
  // The headings of a message are not headings of the page.
  h1: ({ children }) => <p className="heading">{children}</p>,
  h2: ({ children }) => <p className="heading">{children}</p>,
  h3: ({ children }) => <p className="heading">{children}</p>,
  h4: ({ children }) => <p className="heading">{children}</p>,
  h5: ({ children }) => <p className="heading">{children}</p>,
  h6: ({ children }) => <p className="heading">{children}</p>,
  input: ({ checked }) => (checked === true ? "☑ " : "☐ "),
  table: ({ children }) => (
    <Wide label="Table">
      <table>{children}</table>
    </Wide>
  ),
  pre: ({ children }) => (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: long lines are scrolled by the keyboard.
    <pre tabIndex={0}>{children}</pre>
  ),
};

/** Text of a message as markdown. HTML in it is shown as text, and nothing in it is loaded. */
export const Markdown = memo(function Markdown({ text }: { readonly text: string }) {
  if (text.length > LONG) return <p className="as-it-is">{text}</p>;
  return (
    <div className="markdown">
      <ReactMarkdown remarkPlugins={PLUGINS} components={COMPONENTS}>
        {text}
      </ReactMarkdown>
    </div>
  );
});
