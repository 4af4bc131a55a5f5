# cmake -DIN=FILE.sql -DOUT=FILE.sql.h -P cmake/text.cmake: the text of FILE as an array of C, pv_FILE_sql, so that
# SQL stands in files of SQL, and a page in files of a page. In bytes, since C limits the length of a string literal
# and no array's.
get_filename_component(name ${IN} NAME)
string(REGEX REPLACE "[^A-Za-z0-9]" "_" symbol ${name})
file(READ ${IN} hex HEX)
string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${hex}")
string(REGEX REPLACE "(................................................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "/* made from ${name} */\nstatic const char pv_${symbol}[] = {\n${bytes}0};\n")
