import { memo, type ReactNode } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { Wide } from "./wide.tsx";

/** Characters beyond which a text is shown as it is: laying it out would hold up the page. */
const LONG = 60_000;
const PLUGINS = [remarkGfm];

const COMPONENTS: Components = {
  a: ({ href = "", children }) => <Outwards href={href}>{children}</Outwards>,
  // An image is loaded by nobody who only reads a thread: its server would learn of the reader.
  img: ({ src, alt = "" }) => (
    <Outwards href={typeof src === "string" ? src : ""}>
      [image: {alt === "" ? "without a description" : alt}]
    </Outwards>
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

/** A link to somewhere else. Of a URL that would run a script, react-markdown leaves nothing: then it is no link. */
function Outwards({ href, children }: { readonly href: string; readonly children: ReactNode }) {
  if (href === "") return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

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
