# cmake -DIN=FILE.sql -DOUT=FILE.sql.h -P cmake/sql.cmake: the text of FILE as an array of C, so that SQL
# stands in files of SQL. In bytes, since C limits the length of a string literal and no array's.
get_filename_component(name ${IN} NAME_WE)
file(READ ${IN} hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "/* made from ${name}.sql */\nstatic const char pv_${name}_sql[] = {\n${bytes}0};\n")
