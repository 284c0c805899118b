/* tools/version.h - which ringmain this is.
 *
 * Purpose:  one place for what --version, status and the packages say.
 * Memory:   literals. Threads: any.
 */
#ifndef TOOLS_VERSION_H
#define TOOLS_VERSION_H

#define RINGMAIN_VERSION "0.1.0"
#define RINGMAIN_LICENCE "GPL-2.0-or-later"

#endif
