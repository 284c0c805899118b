/* core/probe.h - static probes (USDT): where a tracer can look into the daemon; the list is in perf/probes.
 *
 * Purpose:  PROBEn(name, ...) is one nop in the code and a note in the ELF file, which says where the nop is and
 *           where the arguments are at that moment. A tracer puts a breakpoint there for as long as it looks.
 *           The provider is "ringmain"; some tools show __ in a name as -.
 * Threads:  any.
 * Memory:   none; nothing is linked: <sys/sdt.h> is macros alone.
 * Errors:   none. Without that header, or with -DNO_PROBES, a probe is nothing at all.
 *
 * Nobody asks "is somebody tracing?" (a semaphore): its load and branch would cost more than the nop. So an
 * argument is a variable that is at hand, or a field of a structure whose address is (the note then says "at 16
 * from this register", and only a tracer reads it); never a call or a sum.
 */
#ifndef CORE_PROBE_H
#define CORE_PROBE_H

/* Optional, since a cross compiler's libraries seldom have it. */
#if !defined(NO_PROBES) && defined(__has_include)
#if __has_include(<sys/sdt.h>)
#define HAVE_PROBES 1
#endif
#endif

#ifdef HAVE_PROBES
/* Where a value may be. Given memory as a choice, clang would take it, and write registers to the stack. */
#if defined(__clang__) && !defined(STAP_SDT_ARG_CONSTRAINT)
#define STAP_SDT_ARG_CONSTRAINT nr
#endif
#include <sys/sdt.h>

#define PROBE2(name, a, b)             DTRACE_PROBE2(ringmain, name, a, b)
#define PROBE3(name, a, b, c)          DTRACE_PROBE3(ringmain, name, a, b, c)
#define PROBE4(name, a, b, c, d)       DTRACE_PROBE4(ringmain, name, a, b, c, d)
#define PROBE5(name, a, b, c, d, e)    DTRACE_PROBE5(ringmain, name, a, b, c, d, e)
#define PROBE6(name, a, b, c, d, e, f) DTRACE_PROBE6(ringmain, name, a, b, c, d, e, f)
#else
/* The arguments are looked at and not evaluated: what exists for a probe alone is no unused variable. */
#define PROBE2(name, a, b)          ((void)(sizeof(a) + sizeof(b)))
#define PROBE3(name, a, b, c)       ((void)(sizeof(a) + sizeof(b) + sizeof(c)))
#define PROBE4(name, a, b, c, d)    ((void)(sizeof(a) + sizeof(b) + sizeof(c) + sizeof(d)))
#define PROBE5(name, a, b, c, d, e) ((void)(sizeof(a) + sizeof(b) + sizeof(c) + sizeof(d) + sizeof(e)))
#define PROBE6(name, a, b, c, d, e, f) \
	((void)(sizeof(a) + sizeof(b) + sizeof(c) + sizeof(d) + sizeof(e) + sizeof(f)))
#endif

#endif
